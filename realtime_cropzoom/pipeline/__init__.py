"""The live pipeline: capture, detect, pose, publish."""
