"""Your animal in an afternoon, with rendered white rats on dark floors: from recordings to the error on unseen arenas.

    python scripts/rat_afternoon.py --out FOLDER

To walk the tutorial by hand, without an animal and without a labelling program:

    python scripts/rat_afternoon.py --out practice --only_recordings      renders rat1.mp4 to rat5.mp4, and new_rat.mp4
    python scripts/rat_afternoon.py --out practice --label FOLDER         labels the pictures of an export

It walks the tutorial ``docs/tutorials/your-animal.md`` with the commands of that page. A person's labels are replaced
by the truth, moved by ``--click_px``, as no hand hits a nose exactly. At the end the trained models track recordings
of rats and arenas that they have never seen, and the poses are compared with the truth. It needs the extra ``train``
and, on two cores, about half an hour, of which 15 minutes are training.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.rats import (  # noqa: E402
    NAMES,
    RatFilm,
    label_in_deeplabcut,
    rat_arena,
    read_rats,
    record_rat,
    record_rats,
)

from realtime_cropzoom.sessions.table import read_session  # noqa: E402
from realtime_cropzoom.types import Float64  # noqa: E402

SKELETON = "nose-ear_l,nose-ear_r,ear_l-tail_base,ear_r-tail_base"
AIM = 0.03
"""Median error, as a share of the length of the body."""
UNSEEN_SEED = 1000
NOT_FOUND = 3
"""Exit code of a run that has found the animal in no frame."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Result on one unseen recording."""

    film: RatFilm
    errors_px: Float64
    """(T, K); NaN where there is no pose."""
    found: float
    """Share of frames in the state *tracking*."""

    def __str__(self) -> str:
        """Return a line of the result."""
        errors = self.errors_px[np.isfinite(self.errors_px)]
        median, p95 = (np.percentile(errors, part) if errors.size else np.nan for part in (50, 95))
        each = ", ".join(f"{name} {np.nanmedian(self.errors_px[:, k]):.1f}" for k, name in enumerate(NAMES))
        return (
            f"{self.film.video.stem}: found in {100 * self.found:.1f} % of {len(self.errors_px)} frames; error median "
            f"{median:.2f} px ({100 * median / self.film.body_px:.2f} % of {self.film.body_px:.0f} px of body), "
            f"95 % below {p95:.1f} px; median of {each}"
        )


def main() -> int:
    """Walk the tutorial and print what was reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="new folder for recordings, project and sessions")
    parser.add_argument("--recordings", type=int, default=5, help="number of recordings to label frames of")
    parser.add_argument("--unseen", type=int, default=3, help="number of recordings to measure on")
    parser.add_argument("--seconds", type=float, default=40, help="length of a recording")
    parser.add_argument("--count", type=int, default=20, help="frames to label of each recording")
    parser.add_argument("--minutes", type=float, default=15, help="time for the training of both models")
    parser.add_argument("--click_px", type=float, default=1.0, help="how far a label is from the truth, in pixels")
    parser.add_argument("--only_recordings", action="store_true", help="render the recordings, to practise on them")
    parser.add_argument("--label", type=Path, metavar="FOLDER", help="label an export for DeepLabCut of the recordings")
    args = parser.parse_args()
    if args.label is not None:
        return label(args.label, args.out, args.click_px)
    films = record_rats(args.out / "recordings", args.recordings, args.seconds, fps=15)
    if args.only_recordings:
        record_rat(args.out / "new_rat.mp4", rat_arena(UNSEEN_SEED, args.seconds, fps=15))
        print(f"{len(films)} recordings in {args.out / 'recordings'} to label, and {args.out / 'new_rat.mp4'} to track")
        return 0
    unseen = record_rats(args.out / "unseen", args.unseen, args.seconds, UNSEEN_SEED, fps=15)
    project = args.out / "rat_arena"
    make_project(project, films, args.count, args.click_px)
    set_minutes(project, args.minutes)
    cropzoom("train", project)
    cropzoom("evaluate", project)
    reached = [track(project, film, args.out / "sessions") for film in unseen]
    cropzoom("draw", *(args.out / "sessions" / unseen[0].video.stem).iterdir())
    print("\non recordings that were not trained on:", *reached, sep="\n")
    body = np.concatenate([(each.errors_px / each.film.body_px).ravel() for each in reached])
    share = float(np.nanmedian(body))
    print(f"\nmedian error on unseen arenas: {100 * share:.2f} % of the body, aim {100 * AIM:.0f} %")
    return 0 if share <= AIM else 1


def label(export: Path, recordings: Path, click_px: float) -> int:
    """Label the pictures of an export that have no labels yet, in the place of a person; return the exit code."""
    films = read_rats(recordings)
    folder = export / "labeled-data"
    if not films or not folder.is_dir():
        what = f"{recordings}: no recording with its truth" if not films else f"{export}: no folder labeled-data"
        print(f"{what}; expected --out as for --only_recordings, and the folder that 'cropzoom labels export' names")
        return 2
    print(f"labelled {label_in_deeplabcut(folder, films, click_px)} pictures in {folder}")
    return 0


def make_project(project: Path, films: Sequence[RatFilm], count: int, click_px: float) -> None:
    """Make a project with labelled frames."""
    cropzoom("init", project, "--keypoints", ",".join(NAMES), "--skeleton", SKELETON)
    cropzoom("frames", project, *(film.video for film in films), "--count", count)
    cropzoom("labels", "export", project, "--to", "deeplabcut")
    exported = project / "labels" / "exports" / "deeplabcut"
    labelled = label_in_deeplabcut(exported / "labeled-data", films, click_px)
    print(f"labelled {labelled} pictures")
    cropzoom("labels", "import", project, exported)


def set_minutes(project: Path, minutes: float) -> None:
    """Write the time for the training into the project's file, as a person does with an editor."""
    path = project / "project.yaml"
    path.write_text(path.read_text().replace("minutes: 15 ", f"minutes: {minutes:g} "))


def track(project: Path, film: RatFilm, sessions: Path) -> Reached:
    """Track every frame of a recording, and compare the poses with the truth."""
    out = sessions / film.video.stem
    cropzoom("run", film.video, "--project", project, "--pace", "fast", "--out", out, "--quiet")
    (session,) = out.iterdir()
    poses = read_session(session).poses[: len(film.truth), :, :2]
    errors = np.full(film.truth.shape[:2], np.nan)
    errors[: len(poses)] = np.linalg.norm(poses - film.truth[: len(poses)], axis=2)
    states = pd.read_csv(next(session.glob("*_bbox.csv")))["state"]
    return Reached(film, errors, float((states == "tracking").mean()))


def cropzoom(*arguments: object) -> None:
    """Run a command of the tutorial, and end if it fails."""
    words = [str(argument) for argument in arguments]
    print("\n$ cropzoom", *words, flush=True)
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "realtime_cropzoom", *words], check=False)
    if done.returncode not in (0, NOT_FOUND):
        raise SystemExit(done.returncode)
    print(f"({time.monotonic() - begin:.0f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
