"""``cropzoom frames``: picks frames of recordings to label."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next, short_path
from realtime_cropzoom.cli.values import a_path, a_session, whole
from realtime_cropzoom.errors import ConfigError, pluralize

if TYPE_CHECKING:
    from realtime_cropzoom.labelling.frame_table import FrameRow
    from realtime_cropzoom.labelling.rounds import Done, Plan
    from realtime_cropzoom.project.folder import Project

EXPLAINED = """\
cropzoom frames PROJECT RECORDING… picks frames to label: frames that differ.

  cropzoom frames rat_arena recordings/*.mp4 --count 20
                                                    20 frames of each recording
  cropzoom frames rat_arena --uncertain sessions/day2 --count 30
                                                    30 frames of each session where the
                                                    models are not sure, for the next round

No frame is picked twice, and none that looks like one that was picked.
"""
_MOST = 10_000
_MOST_NAMES = 20
"""Maximum number of recordings that are listed with their names."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    frames = commands.add_parser("frames", help="pick frames of recordings to label", description=EXPLAINED,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    frames.add_argument("project", type=a_path, metavar="PROJECT", help="folder that init has made")
    frames.add_argument(
        "recordings",
        type=a_path,
        nargs="*",
        metavar="RECORDING",
        help="videos, folders of images, folders of videos (default: those of project.yaml)",
    )
    frames.add_argument(
        "--count", type=whole(1, _MOST, "frames"), default=20, metavar="N",
        help="frames of each recording or session (default: 20)",
    )  # fmt: skip
    frames.add_argument(
        "--method", choices=["kmeans", "uniform", "motion"],
        help="kmeans: one frame of each group of frames that look alike; uniform: evenly spaced; motion: evenly "
        "spaced, and where things move (default: kmeans)",
    )  # fmt: skip
    frames.add_argument(
        "--uncertain", type=a_session, nargs="+", metavar="SESSION",
        help="sessions of 'run', or CSV files of 'pipeline', by the project's models: frames where they are not sure",
    )  # fmt: skip
    frames.set_defaults(command=_frames)


def _frames(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.project.in_use import project_in_use

    with project_in_use(arguments.project, "frames") as project:
        return _pick(project, arguments)


def _pick(project: Project, arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.labelling.rounds import unfinished, write_round, write_sheet

    if arguments.uncertain and (arguments.recordings or arguments.method):
        raise ConfigError("--uncertain: got recordings or --method as well, expected sessions alone. Leave them out")
    given = arguments.uncertain or _recordings(project, arguments.recordings)
    method = "uncertain" if arguments.uncertain else arguments.method or "kmeans"
    command = [method, str(arguments.count), *(str(path.absolute()) for path in given)]
    plan = unfinished(project, command)
    if plan is None:
        plan = _plan(project, given, arguments.count, method, command)
    else:
        terminal.say("going on with the round that was interrupted")
    with _bar("writing pictures", len(plan.picks)) as done:
        rows = write_round(project, plan, done)
    _say_counts(plan, arguments.count, len(given), "session" if arguments.uncertain else "recording")
    if arguments.uncertain:
        _say_why(plan)
    _say_names(rows)
    print(f"{pluralize(len(rows), 'picture')} in {arguments.project / 'frames'}, round {rows[0].round}")
    sheet = write_sheet(project, rows, plan)
    print(f"look at them: {arguments.project / 'frames' / sheet.name}")
    say_next("labels", "export", arguments.project, "--to", "deeplabcut")
    return 0


def _recordings(project: Project, given: Sequence[Path]) -> list[Path]:
    """Return the recordings of the command line, or else those of the project."""
    from realtime_cropzoom.labelling.recordings import find_recordings

    if not given and not project.recordings:
        raise ConfigError("got no recording, expected videos or folders of images: cropzoom frames PROJECT RECORDING…")
    return find_recordings(given or project.recordings)


def _plan(project: Project, given: Sequence[Path], count: int, method: Any, command: Sequence[str]) -> Plan:
    what = "sessions" if method == "uncertain" else "recordings"
    of = f"each of {len(given)} {what}, {count * len(given)} together" if len(given) > 1 else given[0].name

    def begins() -> None:
        terminal.say(f"picking {pluralize(count, 'frame')} of {of}")

    if method == "uncertain":
        from realtime_cropzoom.labelling.uncertain import plan_uncertain

        return plan_uncertain(project, given, count, command, _bar, begins)
    from realtime_cropzoom.labelling.differing import plan_differing

    return plan_differing(project, given, count, method, command, _bar, begins)


def _say_counts(plan: Plan, count: int, inputs: int, what: str) -> None:
    """Say that there are fewer frames than were asked for, if so."""
    if len(plan.picks) < count * inputs:
        print(f"{len(plan.picks)} of {count * inputs} frames: all others of the {what}s look like one that is picked")


def _say_why(plan: Plan) -> None:
    """Say how many frames have which cause, and whether none of them is doubtful."""
    from realtime_cropzoom.labelling.doubts import REST

    causes = Counter(pick.cause for pick in plan.picks)
    print("why: " + ", ".join(f"{n} {cause}" for cause, n in causes.most_common()))
    if {*causes} == {REST}:
        print("no new doubtful frame was found; you may not need this round")


def _say_names(rows: Sequence[FrameRow]) -> None:
    """Say which recording is called what, where recordings have the same name and got a number."""
    from realtime_cropzoom.labelling.recordings import name_of

    recordings = {row.folder: Path(row.recording) for row in rows}
    wanted = {folder: name_of(path) for folder, path in recordings.items()}
    numbered = {name for folder, name in wanted.items() if folder != name}
    named = [folder for folder, name in wanted.items() if name in numbered]
    if named:
        print("recordings of the same name have a number in this project:")
    for folder in named[:_MOST_NAMES]:
        print(f"  {folder} ← {short_path(recordings[folder])}")
    if len(named) > _MOST_NAMES:
        print(f"  and {len(named) - _MOST_NAMES} more; frames/frames.csv has all")


@contextmanager
def _bar(what: str, total: int) -> Iterator[Done]:
    from realtime_cropzoom.offline.frame_reader import progress

    with progress(what, total) as bar:
        yield bar.update
