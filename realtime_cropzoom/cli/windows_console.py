"""The console of Windows: the encoding in which it takes bytes, and whether it understands the codes of terminals."""

from __future__ import annotations

import ctypes
from typing import Any

_CODES = 0x0004
"""ENABLE_VIRTUAL_TERMINAL_PROCESSING."""


def prepare_console(descriptor: int, kernel: Any = None, handle: Any = None) -> tuple[str, bool]:
    """Let a console understand the codes with which lines are replaced.

    Args:
        descriptor: The open console.
        kernel: Windows' kernel32; None loads it.
        handle: Windows' handle of the console; None asks for that of the descriptor.

    Returns:
        The encoding of bytes that are written to it, and whether it understands the codes. An old one does not.
    """
    if kernel is None:
        kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    if handle is None:
        import msvcrt

        handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))  # type: ignore[attr-defined,unused-ignore]
    mode = ctypes.c_ulong()
    understands = kernel.GetConsoleMode(handle, ctypes.byref(mode)) and kernel.SetConsoleMode(
        handle, mode.value | _CODES
    )
    return f"cp{kernel.GetConsoleOutputCP()}", bool(understands)
