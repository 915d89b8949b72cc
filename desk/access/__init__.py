"""Who may call the control API, and for what."""
