"""The spool: callbacks that Kafka does not take in time are kept on disk, and published later (ADR 21)."""
