"""Kafka itself: the embedded broker, its configuration, topics, and reading what is committed."""
