"""Calls to the outside: what a stage asks for, who performs it, and within what time."""
