"""Stands in for providers, their customers and the AI agent, over HTTP."""
