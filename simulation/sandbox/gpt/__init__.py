"""The world of GPT agents: a model's OpenAI-compatible service, and the tools of an account."""
