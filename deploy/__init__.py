"""What a person runs: settings, command line, embedded broker, demo, scenarios."""
