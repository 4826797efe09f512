"""Machine: what a figure of speed depends on, in words that people know: board, processor, memory, system."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_CPUINFO, _DEVICE_TREE = Path("/proc/cpuinfo"), Path("/proc/device-tree/model")
_DMI, _OS_RELEASE = Path("/sys/class/dmi/id"), Path("/etc/os-release")
_ARM_PARTS = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd83"): "Neoverse-V3AE",
    ("0x4e", "0x004"): "NVIDIA Carmel",
}
"""Cores of Jetson and Raspberry Pi by (implementer, part), as Arm numbers them: their Linux gives no model name."""


def cpu_model() -> str:
    """Return the model of the processor, as its maker writes it, or ``unknown``."""
    text = _read(_CPUINFO)
    named = _entries(text, "model name")
    if named:
        return named[0]
    cores = zip(_entries(text, "CPU implementer"), _entries(text, "CPU part"), strict=False)
    parts = dict.fromkeys(_ARM_PARTS.get(core, f"ARM {core[0]}/{core[1]}") for core in cores)
    return " + ".join(parts) or platform.processor() or platform.machine() or "unknown"


def board_name() -> str | None:
    """Return the name of the board or computer, as its firmware gives it; None if it gives none."""
    given = _read(_DEVICE_TREE).strip("\0\n ")
    if given:
        return given
    words = f"{_read(_DMI / 'sys_vendor').strip()} {_read(_DMI / 'product_name').strip()}".strip()
    if words:
        return words
    return "virtual machine" if any("hypervisor" in flags for flags in _entries(_read(_CPUINFO), "flags")) else None


def memory_gib() -> float | None:
    """Return the memory of the machine (GiB); None if the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def system_name() -> str:
    """Return the operating system with its version, and the kind of processor: ``Debian GNU/Linux 12, x86_64``."""
    named = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read(_OS_RELEASE), re.MULTILINE)
    name = named[1] if named is not None else " ".join(platform.uname()[0:3:2])
    return f"{re.sub(r' [(].*?[)]', '', name)}, {platform.machine()}"


def _entries(text: str, key: str) -> list[str]:
    """Return the values of a key of /proc/cpuinfo, one for each core."""
    return re.findall(rf"^{key}\s*: (.*)$", text, re.MULTILINE)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
