"""Sources of frames: files, cameras, streams and the synthetic arena."""
