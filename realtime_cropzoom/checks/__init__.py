"""What ``cropzoom check`` tries before an experiment, and ``doctor``: why the animal is not found."""
