"""The settings of an account's channels: what they are, how they are changed, checked and stored."""
