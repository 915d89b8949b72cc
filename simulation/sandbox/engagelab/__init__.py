"""EngageLab's part of the sandbox: its API, error codes, callbacks and receipts."""
