"""A stand-in for EngageLab over HTTP."""
