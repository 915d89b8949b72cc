"""What tests share: a stage by itself, an account, an ingress, a demo."""
