"""`livedesk demo`: customers and agents on the whole pipeline, and a count of what came of it."""
