"""What ``cropzoom check`` tries before an experiment."""
