"""The rules file: its schema, its checks, and the zones it names."""
