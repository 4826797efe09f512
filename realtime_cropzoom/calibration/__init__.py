"""Frame pixels and centimetres on the floor of the arena."""
