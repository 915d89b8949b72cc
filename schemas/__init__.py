"""The contract. Pure data: events, channel settings, provider wire formats, topic registry. Imports nothing of ours."""
