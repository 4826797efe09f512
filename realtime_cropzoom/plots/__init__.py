"""Pictures: overlays, traces, and comparisons of sessions."""
