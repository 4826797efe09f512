"""Writes tables as DeepLabCut's ``.h5``, with pandas. They are read without it: ``foreign/deeplabcut_h5``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_cropzoom.errors import error_text

if TYPE_CHECKING:
    import pandas as pd

_KEY = "df_with_missing"
"""Name of the table in the file, which DeepLabCut's readers expect."""


def save_h5_table(path: Path, table: pd.DataFrame) -> None:
    """Save a table. The three header rows of DeepLabCut are levels of its columns.

    Args:
        path: The file, which is replaced, and stays as far as it was written after an error.
        table: The table.

    Raises:
        OSError: if it cannot be written, with the words of the system alone: HDF5 has twenty lines for a full disk.
    """
    hdf5_error: type[Exception] = importlib.import_module("tables.exceptions").HDF5ExtError
    try:
        # "fixed", because the pandas 2 of DeepLabCut cannot read a "table" that pandas 3 has written.
        table.to_hdf(path, key=_KEY, mode="w", format="fixed")
    except hdf5_error as error:
        raise OSError(error_text(error)) from error
