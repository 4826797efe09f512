"""Train the two models in models/, and measure the numbers in models/README.md.

    python scripts/train_shipped_models.py --data FOLDER

FOLDER is the openfield example of the DeepLabCut repository: CollectedData.csv, the images it names, and
videos/m3v1mp4.mp4. Two processes with one thread each do all of it: two small networks use two cores better than one
network on two threads, which wait for each other at every layer.

1. Two teachers, larger networks, learn the labelled frames.
2. They label the recording, which has no labels, where they agree and the track is smooth; and the labelled frames.
3. The two models that ship learn the labels of the teachers, which vary less than people's, and rendered arenas.
4. Both go on: the pose model with more views that look like the recordings, at last with people's labels; the detector
   with small and large animals.
5. The files are exported and measured.

models/held_out.txt names the labelled frames that no training sees.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from pathlib import Path

import cv2
from shipping.data import labelled
from shipping.finish import finish_all
from shipping.measure import measure, print_ratio
from shipping.pseudo import label_video, relabel
from shipping.students import REFINEMENTS, ROOT, Length, Place, Role, refine, train_student, train_teacher

_TEACHER_SEEDS = (1, 2)
_TEACHER_STEPS = 1250
_STUDENT_STEPS: dict[Role, int] = {"detector": 15000, "pose": 14000}


def main() -> None:
    """Train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the openfield folder, with CollectedData.csv")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/shipped"), help="folder of what lies between")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of the two .onnx files")
    parser.add_argument("--student_minutes", type=float, help="train the two models for a time, on a busy machine")
    parser.add_argument("--steps", choices=("all", "finish", "measure"), default="all", help="where to begin")
    parser.add_argument("--compare", type=Path, help="folder of an earlier pair, for the ratio of the times")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    place = Place(args.data, ROOT / "models" / "held_out.txt", args.output_dir)
    place.output.mkdir(parents=True, exist_ok=True)
    if args.steps == "all":
        train_all(place, args.student_minutes)
    if args.steps != "measure":
        args.models.mkdir(exist_ok=True)
        finish_all(place, args.models)
    if args.compare:
        print_ratio(args.models, args.compare)
    measure(args.data, place.held_out, args.models)


def train_all(place: Place, minutes: float | None) -> None:
    """Train the teachers, label the recording, and train the models."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.starmap(train_teacher, [(seed, place, Length(_TEACHER_STEPS)) for seed in _TEACHER_SEEDS])
        teachers = [place.teacher(seed) for seed in _TEACHER_SEEDS]
        label_video(place.data, teachers, place.pseudo)
        relabel(labelled(place.data, place.held_out).train, teachers, place.relabelled)
        pool.starmap(
            _train_and_refine, [(role, place, Length(_STUDENT_STEPS[role], minutes)) for role in _STUDENT_STEPS]
        )


def _train_and_refine(role: Role, place: Place, length: Length) -> None:
    train_student(role, place, length)
    for refinement in REFINEMENTS[role]:
        refine(role, place, refinement)


if __name__ == "__main__":
    main()
