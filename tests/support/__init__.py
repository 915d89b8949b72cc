"""What tests share: a stage by itself, a desk of people, an ingress, a demo."""
