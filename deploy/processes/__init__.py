"""The processes: ingress, worker, and how they are started, logged and stopped."""
