"""The commands, one file a group. What a command needs is imported when it runs."""
