"""Names that Windows cannot give to a file. Files of other systems are copied there, too."""

from __future__ import annotations

import re

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
"""Names of devices: with any ending, too, and in any folder."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def why_not_on_windows(name: str) -> str | None:
    """Return why Windows has no file or folder of this name; None if it can.

    Args:
        name: Name of a file or folder, without the folder that it is in.
    """
    if _DEVICES.fullmatch(name):
        return "is the name of a device on Windows"
    if (found := _FORBIDDEN.search(name)) is not None:
        return f"has {found[0]!r}, which no name may have on Windows"
    if name != name.rstrip(". "):
        return "ends in a dot or space, which Windows leaves out"
    return None


def windows_name(name: str) -> str:
    """Return a name that Windows can give to a file: the same if it can, else with _ for what it cannot."""
    plain = _FORBIDDEN.sub("_", name)
    plain = plain.rstrip(". ") or "_"
    return f"_{plain}" if _DEVICES.fullmatch(plain) else plain
