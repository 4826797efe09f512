"""The folder that one run leaves: written, read, compared and converted."""
