"""Rebuilding a stage from its log, and comparing."""
