"""From recordings to labels: frames to label, and the labels that other programs made."""
