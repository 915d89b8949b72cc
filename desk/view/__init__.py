"""The read model: what people query, in SQLite or PostgreSQL, projected from the topics."""
