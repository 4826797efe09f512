"""Stand-in of DeepLabCut 3.0.2: the public functions that the export calls."""

__version__ = "3.0.2"
