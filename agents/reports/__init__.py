"""reports: the figures; four stages, one for each topic that they come from."""
