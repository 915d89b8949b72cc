"""What GPT agents answer by: documents read, cut into passages, and found by a question. Knows no Kafka."""
