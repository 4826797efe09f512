"""A SLURM cluster of one node on this machine: munged, slurmctld and slurmd, with a configuration of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from realtime_cropzoom.runtime.processes import wait_or_kill
from support.pipelines import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo", "scancel", "srun")
_STARTS_WITHIN_S = 60.0
_ENDS_WITHIN_S = 15.0
_CONFIG = """\
ClusterName=cropzoom
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=2
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=1000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A running cluster. Its commands need ``environment``."""

    def __init__(self, folder: Path) -> None:
        self.environment = {"SLURM_CONF": f"{folder}/slurm.conf"}

    def ask(self, *command: object) -> str:
        """Return what a command of SLURM prints."""
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def slurm() -> Iterator[Slurm]:
    """Start a cluster, and end it. Skips the test, with the reason, where it cannot start."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if missing := [name for name in PROGRAMS if shutil.which(name, path=path) is None]:
        pytest.skip(f"no {', '.join(missing)} here; with Debian: apt-get install slurm-wlm munge")
    # A path without spaces: slurm.conf has no quotes. A short one: that of a socket has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="slurm") as name, ExitStack() as ends:
        folder = Path(name)
        _write_files(folder)
        for program, *flags in (
            ("munged", "--foreground", "--force", *_munge_flags(folder)),
            ("slurmctld", "-D", "-f", f"{folder}/slurm.conf"),
            ("slurmd", "-D", "-f", f"{folder}/slurm.conf", "-N", socket.gethostname().partition(".")[0]),
        ):
            ends.enter_context(_running(folder, [shutil.which(program, path=path) or program, *flags]))
        cluster = _ready(Slurm(folder), folder)
        try:
            yield cluster
        finally:
            _end_jobs(cluster)


def _end_jobs(cluster: Slurm) -> None:
    """End what a test has left, so that no process outlives the cluster."""
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while time.monotonic() < deadline and (jobs := cluster.ask("squeue", "--noheader", "--format", "%A").split()):
        cluster.ask("scancel", *jobs)
        time.sleep(0.5)


def _write_files(folder: Path) -> None:
    for sub_folder in ("state", "spool"):
        (folder / sub_folder).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(
        _CONFIG.format(
            host=socket.gethostname().partition(".")[0], folder=folder, user=getpass.getuser(),
            controller_port=free_port(), node_port=free_port(),
        )
    )  # fmt: skip


def _munge_flags(folder: Path) -> list[str]:
    names = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    return [f"--{flag}={folder / name}" for flag, name in names.items()]


@contextmanager
def _running(folder: Path, command: list[str]) -> Iterator[None]:
    """Run a program; its output goes to ``PROGRAM.log``."""
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        wait_or_kill(process, _ENDS_WITHIN_S)


def _ready(cluster: Slurm, folder: Path) -> Slurm:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if cluster.ask("sinfo", "--noheader", "--format", "%T").strip() == "idle":
                return cluster
        except AssertionError:
            pass
        time.sleep(0.3)
    said = "; ".join(
        f"{log.name}: {lines[-1]}"
        for log in sorted(folder.glob("*.log"))
        if (lines := log.read_text(errors="replace").split("\n")[:-1])
    )
    pytest.skip(f"SLURM does not start here: {said}")
