"""The machine in words, from the files of Linux on boards, computers and virtual machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_cropzoom.runtime import machine

RASPBERRY = """\
processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd0b

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd0b

Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
BIG_LITTLE = "CPU implementer\t: 0x41\nCPU part\t: 0xd03\n\nCPU implementer\t: 0x41\nCPU part\t: 0xfff\n"
VIRTUAL = "model name\t: AMD EPYC\nflags\t\t: fpu hypervisor avx2\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    names = {"_CPUINFO": "cpuinfo", "_DEVICE_TREE": "model", "_DMI": "dmi", "_OS_RELEASE": "os-release"}
    for variable, name in names.items():
        monkeypatch.setattr(machine, variable, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [(RASPBERRY, "Cortex-A76"), (BIG_LITTLE, "Cortex-A53 + ARM 0x41/0xfff"), (VIRTUAL, "AMD EPYC")],
)
def test_the_processor_is_named_where_linux_gives_only_numbers(files: Path, cpuinfo: str, model: str) -> None:
    (files / "cpuinfo").write_text(cpuinfo)
    assert machine.cpu_model() == model


def test_a_board_has_the_name_of_its_device_tree(files: Path) -> None:
    (files / "model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    assert machine.board_name() == "NVIDIA Jetson Orin Nano Developer Kit"


def test_a_computer_has_the_name_of_its_firmware(files: Path) -> None:
    (files / "dmi").mkdir()
    (files / "dmi" / "sys_vendor").write_text("Dell Inc.\n")
    (files / "dmi" / "product_name").write_text("OptiPlex 7090\n")
    assert machine.board_name() == "Dell Inc. OptiPlex 7090"


def test_a_machine_without_a_name_may_be_virtual(files: Path) -> None:
    assert machine.board_name() is None
    (files / "cpuinfo").write_text(VIRTUAL)
    assert machine.board_name() == "virtual machine"


def test_the_system_has_the_name_of_its_distribution(files: Path) -> None:
    (files / "os-release").write_text('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian"\n')
    assert machine.system_name().startswith("Debian GNU/Linux 12, ")
    (files / "os-release").unlink()
    assert machine.system_name()


def test_this_machine_has_memory() -> None:
    memory = machine.memory_gib()
    assert memory is None or memory > 0
