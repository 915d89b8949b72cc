"""GPT agents tried out: in memory, by the real stages, with the agent's real service, tools and documents."""
