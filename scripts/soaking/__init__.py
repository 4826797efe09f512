"""Parts of ``soak.py``: one file per part, and shared code."""
