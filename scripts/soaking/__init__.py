"""What ``soak.py`` runs for long: one file a part, and what they share."""
