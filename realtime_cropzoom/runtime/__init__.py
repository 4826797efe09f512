"""What the threads of a run share: workers, the ring of frames, records, signals and statistics."""
