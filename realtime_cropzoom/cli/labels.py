"""``cropzoom labels``: gives the frames of a project to a labelling program, and takes its labels back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli import terminal
from realtime_cropzoom.cli.common import say_next, short_path
from realtime_cropzoom.cli.values import a_path, number, some_text
from realtime_cropzoom.errors import ConfigError, SinkError, pluralize
from realtime_cropzoom.runtime.signals import signals_held_back

if TYPE_CHECKING:
    from realtime_cropzoom.labelling.importing import Imported
    from realtime_cropzoom.project.folder import Project

PROGRAMS = ("deeplabcut", "sleap", "coco")
_HOW = {
    "deeplabcut": "Open one folder in it with napari-deeplabcut, label, save",
    "sleap": "Open it with SLEAP, label the suggestions, save",
    "coco": "Import it into CVAT as COCO Keypoints, label, export",
}


def register(commands: Any) -> None:
    """Add the command to the parser."""
    labels = commands.add_parser("labels", help="give frames to a labelling program, and take its labels back")
    ways = labels.add_subparsers(required=True, metavar="WHAT")

    export = ways.add_parser("export", help="write all frames of a project for a labelling program")
    export.add_argument("project", type=some_text, metavar="PROJECT", help="folder of the project")
    export.add_argument(
        "--to", required=True, choices=PROGRAMS, help="napari-deeplabcut; SLEAP; CVAT and Label Studio (coco)"
    )
    export.add_argument(
        "--out", type=a_path, metavar="FOLDER", help="folder to write (default: labels/exports/ in the project)"
    )
    export.add_argument(
        "--likelihood", type=number(0, 1), default=0.6, metavar="L",
        help="once the project has models: leave out predicted keypoints that are less likely (default: 0.6)",
    )  # fmt: skip
    export.add_argument("--empty", action="store_true", help="no predictions in frames without labels")
    export.set_defaults(command=_export)

    take = ways.add_parser("import", help="take labels into a project, and check them")
    take.add_argument("project", type=some_text, metavar="PROJECT", help="folder of the project")
    take.add_argument(
        "file", type=a_path, metavar="FILE",
        help="CollectedData .csv or .h5 of DeepLabCut or Lightning Pose, or the folder of the export; .slp or .pkg.slp "
        "of SLEAP; .json or .zip of COCO keypoints; .json of Label Studio",
    )  # fmt: skip
    take.add_argument(
        "--rename", type=_pairs, default={}, metavar="A=B,…",
        help="keypoint A of the file is B of the project; 'A=' leaves A out",
    )  # fmt: skip
    take.add_argument("--images", type=a_path, metavar="FOLDER", help="where the pictures or videos of the file are")
    take.add_argument("--animal", metavar="NAME", help="the animal or track to take, if frames have several")
    take.add_argument(
        "--predictions", action="store_true", help="also take predictions that nobody has corrected, as labels"
    )
    take.add_argument(
        "--remove", action="store_true", help="take labels off that the file does not have in a frame that it labels"
    )
    take.set_defaults(command=_import)


def _pairs(text: str) -> dict[str, str]:
    """Return {name in the file: name in the project} from ``leftear=ear_l,rightear=ear_r``."""
    pairs: dict[str, str] = {}
    for part in text.split(","):
        given, equals, wanted = (word.strip() for word in part.partition("="))
        if not equals or not given or given in pairs:
            raise argparse.ArgumentTypeError(f"got {part!r}, expected pairs such as leftear=ear_l,rightear=ear_r")
        pairs[given] = wanted
    return pairs


def _export(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.labelling.exporting import export_labels
        from realtime_cropzoom.project.in_use import project_in_use

    with project_in_use(arguments.project, "labels export") as project:
        done = export_labels(
            project,
            arguments.to,
            _folder(project, arguments.to, arguments.out),
            least_likelihood=arguments.likelihood,
            predictions=not arguments.empty,
            progress=_counter("predicted"),
        )
    empty = done.frames - done.labelled - done.predicted
    frames = pluralize(done.frames, "frame")
    print(f"{frames}: {done.labelled} with labels, {done.predicted} with predictions, {empty} empty")
    for note in done.notes:
        _print(note)
    print(done.open)
    _print(f"{_HOW[arguments.to]}: docs/how-to/label.md")
    back = done.open.parent if arguments.to == "deeplabcut" else done.open if arguments.to == "sleap" else "FILE"
    say_next("labels", "import", arguments.project, short_path(back))
    return 0


def _folder(project: Project, program: str, given: Path | None) -> Path:
    """Return the folder to write, which holds nothing: labels that nobody has imported yet may be in an earlier one."""
    if given is not None:
        if given.is_dir() and any(given.iterdir()):
            raise SinkError(f"--out {given}: got a folder with files, expected a new or empty one. Give another folder")
        if given.exists() and not given.is_dir():
            raise ConfigError(f"--out {given}: got a file, expected a folder. Give another name")
        return given
    numbered = (project.exports_folder / f"{program}{f'-{n}' if n > 1 else ''}" for n in range(1, 1_000_000))
    return next(folder for folder in numbered if not folder.exists())


def _import(arguments: argparse.Namespace) -> int:
    with signals_held_back():
        from realtime_cropzoom.labelling.importing import ImportOptions, import_labels
        from realtime_cropzoom.labelling.label_sheet import MOST, write_label_sheet
        from realtime_cropzoom.project.in_use import project_in_use

    options = ImportOptions(
        arguments.rename, arguments.images, arguments.animal, arguments.predictions, arguments.remove
    )
    with project_in_use(arguments.project, "labels import") as project:
        done = import_labels(project, arguments.file, options)
        for line in _lines(project, arguments.file, done):
            _print(line)
        merged = done.merged
        if len(merged.labels) > MOST:
            _print(f"the picture shows {MOST} of them: suspicions first, then what is new or changed")
        try:
            print(write_label_sheet(project, merged.labels, done.findings, [*merged.new, *merged.moved_px], _warn))
        except SinkError as error:
            _warn(f"the labels are imported, but there is no picture of them: {error}")
    say_next("train", arguments.project)
    return 0


def _lines(project: Project, file: Path, done: Imported) -> list[str]:
    """Return what an import has done, in lines."""
    merged = done.merged
    count = len(merged.new) + len(merged.moved_px) + len(merged.same)
    lines = [
        f"{pluralize(count, 'labelled frame')} from {file.name} ({done.program}): {len(merged.new)} new, "
        f"{len(merged.moved_px)} changed, {len(merged.same)} the same; {len(merged.kept)} of before kept",
        *done.notes,
    ]
    if merged.mean_move_px:
        worst = max(merged.moved_px, key=lambda image: merged.moved_px[image])
        lines.append(
            f"moved: {merged.mean_move_px:.1f} px in the mean, most in {worst}: {merged.moved_px[worst]:.1f} px"
        )
    if done.added:
        recordings = len({row.folder for row in done.added})
        lines.append(
            f"{pluralize(len(done.added), 'picture')} copied into frames/, of {pluralize(recordings, 'recording')}"
        )
    lines += [finding.text for finding in done.findings]
    if done.backup is not None:
        lines.append(f"the labels of before are in {short_path(done.backup)}")
    return [*lines, f"{pluralize(len(merged.labels), 'labelled frame')} in {short_path(project.labels_file)}"]


def _counter(what: str) -> Any:
    """Return a function that shows, on a terminal, how many frames are done."""
    shown = sys.stderr.isatty()

    def show(done: int) -> None:
        if shown:
            print(f"\r{what}: {pluralize(done, 'frame')} ", end="", file=sys.stderr, flush=True)

    return show


def _warn(text: str) -> None:
    terminal.say(f"warning: {text}")


def _print(text: str) -> None:
    print(terminal.fold(text, terminal.columns(sys.stdout)))
