"""ai: asks the AI agent about what customers write, in order; conversations decides what to do with its answers."""
