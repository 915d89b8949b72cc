"""The events, by who they are about. Type names and fields are a contract."""
