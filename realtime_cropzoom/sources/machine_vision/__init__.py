"""Industrial cameras: GenICam through Aravis, and Basler through pypylon."""
