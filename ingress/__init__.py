"""The edge: webhooks and commands become durable records on Kafka."""
