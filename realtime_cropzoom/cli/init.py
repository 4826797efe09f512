"""``cropzoom init``: makes the folder of a project."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from realtime_cropzoom.cli.common import say_next
from realtime_cropzoom.cli.values import a_path, names, some_text
from realtime_cropzoom.errors import ConfigError, did_you_mean, listed, pluralize, quoted

_NONE = "none"


def register(commands: Any) -> None:
    """Add the command to the parser."""
    init = commands.add_parser("init", help="make the folder of a project: your own animal, its labels and models")
    init.add_argument("folder", type=a_path, metavar="FOLDER", help="new folder, such as rat_arena")
    init.add_argument(
        "--keypoints",
        type=names,
        required=True,
        metavar="A,B,…",
        help="names of the points to track, with commas between them: nose,ear_l,ear_r,tail_base",
    )
    init.add_argument(
        "--skeleton",
        type=some_text,
        metavar="A-B,…",
        help="pairs of points between which pictures draw a line: nose-ear_l,nose-ear_r (default: none)",
    )
    init.add_argument(
        "--symmetric",
        type=some_text,
        metavar="A:B,…",
        help="pairs of points that change places in a mirror: ear_l:ear_r; or none (default: found by left and right, "
        "or l and r, in the names)",
    )
    init.set_defaults(command=_init)


def _init(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.project.template import make_project, side_pairs

    keypoints = arguments.keypoints
    given = arguments.symmetric
    skeleton = [] if arguments.skeleton is None else pairs(arguments.skeleton, "-", keypoints, "--skeleton")
    found = side_pairs(keypoints) if given is None else []
    symmetric = found if given in (None, _NONE) else pairs(given, ":", keypoints, "--symmetric")
    project = make_project(arguments.folder, keypoints, skeleton, symmetric)
    print(f"made {arguments.folder}: project.yaml, and folders for frames, labels and models")
    print(f"{pluralize(len(keypoints), 'keypoint')}: {listed(keypoints)}")
    if found:
        shown = ", ".join(f"{quoted(a)} and {quoted(b)}" for a, b in found)
        print(f"symmetric, by their names: {shown}. If that is wrong, change it in {arguments.folder / 'project.yaml'}")
    elif not symmetric and given is None:
        print("no symmetric keypoints: no name has left and right, or l and r, in it")
    if not skeleton and len(project.keypoints) > 1:
        print("no skeleton: pictures show points without lines")
    say_next("frames", arguments.folder, "RECORDING.mp4", "--count", "20")
    return 0


def pairs(text: str, separator: str, keypoints: Sequence[str], flag: str) -> list[tuple[str, str]]:
    """Return the pairs of a flag.

    Args:
        text: The pairs, with commas between them.
        separator: Stands between the two names of a pair. It may be in a name, too.
        keypoints: The names that there are.
        flag: Name of the flag, for the error text.

    Raises:
        ConfigError: if a part is no pair of known names, or can be read in two ways.
    """
    return [_pair(part.strip(), separator, keypoints, flag) for part in text.split(",")]


def _pair(part: str, separator: str, keypoints: Sequence[str], flag: str) -> tuple[str, str]:
    cuts = [i for i, letter in enumerate(part) if letter == separator]
    ways = [(part[:i].strip(), part[i + 1 :].strip()) for i in cuts]
    known = [way for way in ways if way[0] in keypoints and way[1] in keypoints]
    example = f"two keypoints such as {keypoints[0]}{separator}{keypoints[-1]}"
    if len(known) == 1:
        return known[0]
    if known:
        raise ConfigError(
            f"{flag}: got {part!r}, which can be read in {len(known)} ways. Write the pair into project.yaml instead"
        )
    if len(ways) != 1:
        raise ConfigError(f"{flag}: got {part!r}, expected {example}")
    unknown = next(name for name in ways[0] if name not in keypoints)
    likely = did_you_mean(unknown, keypoints)
    raise ConfigError(f"{flag}: got {unknown!r}, expected names of --keypoints: {listed(keypoints)}.{likely}")
