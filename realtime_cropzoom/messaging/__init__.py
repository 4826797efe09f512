"""Messages and their way: the schema, endpoints, keys, encryption, and the clock of the other side."""
