"""Live cropzoom pose tracking of freely moving animals."""

__version__ = "0.1.0"
