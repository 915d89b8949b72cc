"""The Faust runtime: what a worker runs."""
