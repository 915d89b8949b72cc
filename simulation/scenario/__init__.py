"""Scenarios: what happened around a channel, and what the pipeline makes of it."""
