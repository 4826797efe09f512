"""``cropzoom pipeline --cluster`` and ``--cluster-status``: one task a recording, and a table of how they went."""

from __future__ import annotations

import argparse
import os
import shlex
import socket
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli.batch import say
from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.cli.values import a_name, a_path, some_text, whole
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.errors import EXIT_INCOMPLETE, ConfigError, pluralize
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.config.settings import Settings
    from realtime_cropzoom.offline.cluster.job import ClusterJob, JobFolder
    from realtime_cropzoom.offline.cluster.status import TaskStatus

EXIT_FAILED_TASK = 1
_OF_SLURM = ("partition", "account", "gpus")
_ONLY_WITH_CLUSTER = ("jobs", "time", *_OF_SLURM, "setup")
_CORES = 4
"""Number of cores that a task asks SLURM for if the user gives none: one decodes, the others run models."""
_NO_LIMIT_MIN = 365 * 1440
_MAX_TASKS = 10_000
_TASKS_PER_CORE = 2
"""Maximum number of tasks at once for each core of this machine: more take memory, and none is done earlier."""
_LOCAL_EVERY_S, _SLURM_EVERY_S = 0.3, 2.0
_SLURM_RARELY_S = 30.0
"""Maximum time (s) between two questions to SLURM: its documentation asks not to disturb it."""
_GONE_FOR_S = 30.0
"""Time (s) that a task of SLURM must be gone without a result before that is believed: far disks show files late."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags to the parser of ``pipeline``."""
    group = parser.add_argument_group("many recordings", "one task a recording; needs the extra 'cluster'")
    where = "where the tasks run: on a SLURM cluster, or in processes of this machine"
    group.add_argument("--cluster", choices=("slurm", "local"), help=where)
    most = "tasks at once (default: as many as SLURM starts; 1 with local)"
    group.add_argument("--jobs", type=whole(1, _MAX_TASKS, "tasks"), metavar="N", help=most)
    limit = "time limit of each task, such as 2h, 90min or 02:00:00; one that needs longer goes on in a new start"
    group.add_argument("--time", type=_minutes, metavar="SPAN", help=limit)
    group.add_argument("--partition", type=a_name, metavar="NAME", help="partition of SLURM")
    group.add_argument("--account", type=a_name, metavar="NAME", help="account of SLURM that pays")
    group.add_argument("--gpus", type=whole(1, 64, "GPUs"), metavar="N", help="GPUs of each task, with SLURM")
    line = "line of the shell before each task, such as 'module load cuda'; may be given several times"
    group.add_argument("--setup", type=some_text, action="append", metavar="LINE", help=line)
    status = "show how far the tasks of a job are: its folder, or that of the results"
    group.add_argument("--cluster-status", type=a_path, metavar="FOLDER", help=status)


def _minutes(text: str) -> int:
    from realtime_cropzoom.offline.cluster.time_span import read_span

    try:
        return read_span(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_flags(arguments: argparse.Namespace) -> None:
    """Raise ConfigError if flags of ``pipeline`` contradict each other, or recordings are missing."""
    given = [name for name in _ONLY_WITH_CLUSTER if getattr(arguments, name) is not None]
    if arguments.cluster_status is not None:
        if arguments.input_path or arguments.cluster or given:
            what = "recordings" if arguments.input_path else f"--{given[0] if given else 'cluster'}"
            raise ConfigError(f"--cluster-status: got {what} as well, expected the folder of a job alone")
        return
    if not arguments.input_path:
        raise ConfigError("INPUT is missing: expected recordings. See: cropzoom pipeline --help")
    if given and arguments.cluster is None:
        raise ConfigError(
            f"--{given[0]}: got it without --cluster. Add --cluster slurm or --cluster local, or leave it out"
        )
    if arguments.cluster == "local" and (of_slurm := [name for name in given if name in _OF_SLURM]):
        raise ConfigError(
            f"--{of_slurm[0]}: got it with --cluster local, which takes this machine as it is. Leave it out, or use "
            "--cluster slurm"
        )
    if arguments.cluster == "slurm" and arguments.time is None:
        raise ConfigError("--time is missing: SLURM needs a limit. Give one, such as --time 2h")


def run_on_cluster(arguments: argparse.Namespace, settings: Settings, sources: Sequence[str], out: Path) -> int:
    """Hand one task a recording over, wait for them, and print a table; return the exit code.

    Args:
        arguments: Those of the command.
        settings: Settings of each task.
        sources: The recordings.
        out: Folder of the results.
    """
    with signals_held_back():
        from realtime_cropzoom.offline.cluster.submit import Inputs, check_can_submit, submit
    if synthetic := next((source for source in sources if source.startswith("synthetic:")), None):
        raise ConfigError(f"--cluster: got {synthetic}, expected recordings, which are files")
    check_can_submit(arguments.cluster, Inputs([Path(source) for source in sources], out, settings))
    _check_models(settings, resume=arguments.resume, is_here=arguments.cluster == "local")
    with signals_held_back():  # else Ctrl-C could leave a job of which nobody knows
        folder, job = submit(*_make_job(arguments, settings, sources, out))
    _say_begin(folder, job)
    with _told_how_to_look(folder, job):
        tasks = _wait(folder, job)
    return _say_end(job, tasks)


def run_status(path: Path) -> int:
    """Print how far the tasks of a job are; return the exit code."""
    from realtime_cropzoom.offline.cluster.job import find_job
    from realtime_cropzoom.offline.cluster.slurm import why_waiting
    from realtime_cropzoom.offline.cluster.status import UNFINISHED, read_status

    folder = find_job(path)
    job = folder.read()
    tasks = read_status(folder, job)
    if any(task.state in UNFINISHED for task in tasks):
        _print_table(tasks)
        say(f"{_counted(tasks)}. End them with: {_cancel(job)}")
        if job.kind == "slurm" and any(task.state == "waiting" for task in tasks):
            _say_why_waiting(why_waiting(job))
        return _exit_code(tasks)
    return _say_end(job, tasks)


def _say_why_waiting(reasons: Collection[str]) -> None:
    if reasons:
        say(f"SLURM says why tasks wait: {', '.join(sorted(reasons))}. The page 'man squeue' explains it")


def _check_models(settings: Settings, *, resume: bool, is_here: bool) -> None:
    """Prepare a pipeline once, so that bad settings are refused now and not in each task.

    Args:
        settings: Settings of each task.
        resume: Whether the tasks continue earlier ones.
        is_here: Whether they run on this machine. A login node of a cluster may have no GPU.
    """
    from realtime_cropzoom.offline.command import OfflineCommand, OfflineOptions
    from realtime_cropzoom.offline.inference_pool import worker_pool
    from realtime_cropzoom.offline.pipeline import OfflinePipeline
    from realtime_cropzoom.pipeline.startup import load_models

    is_quick = settings.provider in ("auto", "cpu")
    if is_here or is_quick:
        settings = settings.model_copy(update={"provider": "cpu"}) if is_quick else settings
        settings, models = load_models(settings, threads=1)
        with worker_pool(1) as pool:
            OfflinePipeline(settings, models, OfflineCommand(pool, 1, OfflineOptions(resume=resume), say, say))


def _make_job(arguments: argparse.Namespace, settings: Settings, sources: Sequence[str], out: Path) -> tuple[Any, ...]:
    from realtime_cropzoom.offline.cluster.job import ClusterJob
    from realtime_cropzoom.offline.cluster.slurm import Resources
    from realtime_cropzoom.runtime.tuning import usable_cores

    on_slurm = arguments.cluster == "slurm"
    limit = min(len(sources), arguments.jobs or (_MAX_TASKS if on_slurm else 1))
    if not on_slurm and limit > (most := _TASKS_PER_CORE * usable_cores()):
        say(f"--jobs: got {arguments.jobs}; this machine has {pluralize(usable_cores(), 'core')}, so {most} at once")
        limit = most
    cores = arguments.workers or (_CORES if on_slurm else max(1, usable_cores() // limit))
    flags = [f"--{name}" for name in ("overwrite", "resume", "skip-viz") if getattr(arguments, name.replace("-", "_"))]
    batch = ["--batch-size", str(arguments.batch_size)] if arguments.batch_size else []
    job = ClusterJob(
        kind=arguments.cluster,
        host=socket.gethostname(),
        recordings=tuple(str(Path(source).absolute()) for source in sources),
        out=str(out.absolute()),
        flags=(*flags, *batch, "--workers", str(cores)),
        can_resume=settings.box_from != "pose",
        limit=limit,
        minutes=arguments.time or _NO_LIMIT_MIN,
        setup=tuple(arguments.setup or ()),
        visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )
    return job, settings, Resources(cores, arguments.gpus, arguments.partition, arguments.account)


def _say_begin(folder: JobFolder, job: ClusterJob) -> None:
    from realtime_cropzoom.offline.cluster.time_span import show_span

    who = f"SLURM job {job.number}" if job.kind == "slurm" else f"process {job.number}"
    limit = f", {show_span(job.minutes)} each" if job.minutes < _NO_LIMIT_MIN else ""
    say(f"{who}: {pluralize(len(job.recordings), 'recording')}, at most {job.limit} at once{limit}")
    say(f"folder of the job: {folder.path}")


@contextmanager
def _told_how_to_look(folder: JobFolder, job: ClusterJob) -> Iterator[None]:
    """Add to Ctrl-C that the tasks go on, and how to look at them."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        stopped.add_note("the tasks go on without this command")
        stopped.add_note(f"look at them with: cropzoom pipeline --cluster-status {shlex.quote(str(folder.path))}")
        stopped.add_note(f"end them with: {_cancel(job)}")
        raise


def _wait(folder: JobFolder, job: ClusterJob) -> list[TaskStatus]:
    """Return the status of the tasks when all have ended. Each one that ends is said in a line."""
    from realtime_cropzoom.offline.cluster.slurm import PASSES, why_waiting
    from realtime_cropzoom.offline.cluster.status import GOOD, UNFINISHED, read_status

    told_reasons = {*PASSES}
    said: dict[str, tuple[str, int]] = {}
    is_silent = False
    gone_since: dict[str, float] = {}
    began_s = now_s()
    while True:
        tasks = read_status(folder, job)
        at_s, open_tasks = now_s(), 0
        for task in tasks:
            is_sure = job.kind == "local" or task.state in (*GOOD, "failed")
            since_s = gone_since.setdefault(task.name, at_s)
            if task.state in UNFINISHED:
                gone_since.pop(task.name)
            if task.state in UNFINISHED or not (is_sure or at_s - since_s > _GONE_FOR_S):
                open_tasks += 1
            elif said.get(task.name) != (task.state, task.starts):
                said[task.name] = task.state, task.starts
                say(_ended_line(task, len(said), len(tasks)))
        if not open_tasks:
            return tasks
        if job.kind == "slurm" and any(task.state == "waiting" for task in tasks):
            _say_why_waiting(new := why_waiting(job) - told_reasons)
            told_reasons |= new
        if is_silent != (is_silent := any(task.state == "unknown" for task in tasks)):
            say("SLURM does not answer; waiting for it" if is_silent else "SLURM answers again")
        rarely_s = min(_SLURM_RARELY_S, max(_SLURM_EVERY_S, (at_s - began_s) / 20))
        time.sleep(_LOCAL_EVERY_S if job.kind == "local" else rarely_s)


def _ended_line(task: TaskStatus, count: int, total: int) -> str:
    reason = f": {task.reason}" if task.reason else ""
    return f"{count} of {total}: {task.name} {task.state}{reason}"


def _say_end(job: ClusterJob, tasks: Sequence[TaskStatus]) -> int:
    from realtime_cropzoom.offline.cluster.job import poses_file
    from realtime_cropzoom.offline.cluster.status import GOOD

    _print_table(tasks)
    bad = sum(task.state not in GOOD for task in tasks)
    if bad:
        say(f"{_counted(tasks)}. The same command with --resume does the others; their logs say what was wrong")
    elif tasks:
        say_next("draw", poses_file(job, tasks[-1].recording))
    return _exit_code(tasks)


def _print_table(tasks: Sequence[TaskStatus]) -> None:
    from realtime_cropzoom.offline.cluster.status import table

    print(table(tasks))


def _counted(tasks: Sequence[TaskStatus]) -> str:
    return ", ".join(f"{count} {state}" for state, count in Counter(task.state for task in tasks).items())


def _cancel(job: ClusterJob) -> str:
    from realtime_cropzoom.offline.cluster.status import cancel_command

    return cancel_command(job)


def _exit_code(tasks: Sequence[TaskStatus]) -> int:
    from realtime_cropzoom.offline.cluster.status import GOOD, UNFINISHED

    states = {task.state for task in tasks}
    if states - {*GOOD, *UNFINISHED}:
        return EXIT_FAILED_TASK
    return EXIT_INCOMPLETE if "incomplete" in states else 0
