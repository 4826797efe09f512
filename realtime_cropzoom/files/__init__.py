"""Files on disk: paths as users give them, names of formats, CSV text, and files that are whole or absent."""
