"""How well the poses of a run look like an animal, in words."""
