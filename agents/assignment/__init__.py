"""assignment: decides, for a whole account, who takes a conversation."""
