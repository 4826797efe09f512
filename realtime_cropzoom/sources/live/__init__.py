"""Sources that do not wait: cameras of the operating system and network streams."""
