"""The desk: what people and their scripts use: a read model, and the control API over it."""
