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
from contextlib import contextmanager
from pathlib import Path

import pytest

from realtime_cropzoom.runtime.processes import wait_or_kill
from support.pipelines import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo", "scancel", "srun")
_STARTS_WITHIN_S = 60.0
_TRIES = 2
"""Number of starts: another program may take a port that was free a moment ago."""
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
PartitionName=short Nodes=ALL Default=NO MaxTime=60 State=UP
"""


class Slurm:
    """A cluster. Its commands need ``environment``."""

    def __init__(self, folder: Path, path: str) -> None:
        """Take the configuration in ``folder``, and the programs that are found in ``path``."""
        self.environment = {"SLURM_CONF": f"{folder}/slurm.conf"}
        self._folder, self._path = folder, path
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the programs of the cluster."""
        self._start("munged", "--foreground", "--force", *_munge_flags(self._folder))
        self.start_controller()
        host = socket.gethostname().partition(".")[0]
        self._start("slurmd", "-D", "-f", f"{self._folder}/slurm.conf", "-N", host)

    def start_controller(self) -> None:
        """Start slurmctld; it remembers the jobs of an earlier one."""
        self._start("slurmctld", "-D", "-f", f"{self._folder}/slurm.conf")

    def end_controller(self) -> None:
        """Kill slurmctld, as a fault would."""
        process = self._processes["slurmctld"]
        process.kill()
        process.wait()

    def has_controller(self) -> bool:
        """Return whether slurmctld runs."""
        return "slurmctld" in self._processes and self._processes["slurmctld"].poll() is None

    def end(self) -> None:
        """End the programs, the last one first."""
        for process in reversed(self._processes.values()):
            process.terminate()
            wait_or_kill(process, _ENDS_WITHIN_S)

    def _start(self, program: str, *flags: str) -> None:
        """Start a program, which ends with this process at the latest; its output goes to ``PROGRAM.log``."""
        command = [shutil.which(program, path=self._path) or program, *flags]
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
        with (self._folder / f"{program}.log").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

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
    said = "nothing"
    for _ in range(_TRIES):
        # A path without spaces: slurm.conf has no quotes. A short one: that of a socket has 107 bytes.
        with tempfile.TemporaryDirectory(prefix="slurm", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            _write_files(folder)
            cluster = Slurm(folder, path)
            try:
                cluster.start()
                said = _wait_until_ready(cluster, folder)
                if not said:
                    yield cluster
                    return
            finally:
                if not said:
                    _end_jobs(cluster)
                cluster.end()
    pytest.skip(f"SLURM does not start here: {said}")


def _end_jobs(cluster: Slurm) -> None:
    """End what a test has left, so that no process outlives the cluster."""
    if not cluster.has_controller():
        cluster.start_controller()
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if not (jobs := cluster.ask("squeue", "--noheader", "--format", "%A").split()):
                return
            cluster.ask("scancel", *jobs)
        except (AssertionError, subprocess.TimeoutExpired):
            pass  # it does not answer yet
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


def _wait_until_ready(cluster: Slurm, folder: Path) -> str:
    """Return "" as soon as the node is idle; else what the programs said last."""
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if set(cluster.ask("sinfo", "--noheader", "--format", "%T").split()) == {"idle"}:
                return ""
        except (AssertionError, subprocess.TimeoutExpired):
            pass
        time.sleep(0.3)
    return "; ".join(
        f"{log.name}: {lines[-1]}"
        for log in sorted(folder.glob("*.log"))
        if (lines := log.read_text(errors="replace").split("\n")[:-1])
    )
