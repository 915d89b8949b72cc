"""The livedesk command: a file a command. Arguments, printing, exit codes; nothing imports it."""
