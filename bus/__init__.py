"""Kafka for every process: connections, publishing, transactions, following a topic. No Faust, no stage."""
