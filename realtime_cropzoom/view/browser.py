"""Opens the page in the user's browser, where there is a desktop."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser

from realtime_cropzoom.view.serve import Site


def has_desktop() -> bool:
    """Return whether a window can be opened here; over SSH without a display it cannot."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def open_page(site: Site) -> None:
    """Open the page if there is a desktop. It returns at once: a browser may take its time to start."""
    if has_desktop():
        threading.Thread(target=webbrowser.open, args=(site.launch_url(),), name="browser", daemon=True).start()
