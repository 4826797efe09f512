"""Report of a replay (``cropzoom trigger --replay``): a log of decisions, a picture, and a summary in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from realtime_cropzoom.errors import CropzoomError, DataError
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.plots.image_files import write_figure
from realtime_cropzoom.plots.session_pictures import footage
from realtime_cropzoom.sessions.folder import file_stem
from realtime_cropzoom.sessions.table import SessionTables
from realtime_cropzoom.sources.first_frame import read_first_frame
from realtime_cropzoom.trigger.engine.events import (
    AnimalsEvent,
    Decision,
    Event,
    FrameEvent,
    HelloEvent,
    NewRules,
    Tick,
    Verdict,
    Withheld,
)
from realtime_cropzoom.trigger.engine.factory import build_engine, load_calibration
from realtime_cropzoom.trigger.process.decision_log import decisions_text
from realtime_cropzoom.trigger.process.input_log import read_inputs
from realtime_cropzoom.trigger.process.replay import read_parts, replay, replay_inputs, session_events
from realtime_cropzoom.trigger.process.zone_picture import ZONES_DPI, Fired, draw_zones
from realtime_cropzoom.trigger.rules.rules import Rules, named_keypoints
from realtime_cropzoom.types import Float64

_INPUTS, _DECISIONS = "_inputs.jsonl", "_decisions.csv"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Decisions of a replay."""

    decisions: list[Decision]
    parts: Sequence[SessionTables] = ()
    """Tables of the session that was replayed; empty if it was the log of a trigger session."""

    def report(self) -> str:
        """Return the summary in words: how often each rule fired, and on which frames."""
        lines = []
        counts = Counter((d.rule, d.verdict) for d in self.decisions if d.rule)
        for rule in dict.fromkeys(rule for rule, _ in counts):
            what = ", ".join(f"{n} {verdict}" for (of, verdict), n in counts.items() if of == rule)
            frames = [str(d.frame) for d in self.decisions if d.rule == rule and d.verdict is Verdict.FIRED]
            shown = ", ".join(frames[:12]) + (" …" if len(frames) > 12 else "")
            lines.append(f"{rule}: {what}" + (f"; fired on frames {shown}" if frames else ""))
        others = Counter(d.verdict for d in self.decisions if not d.rule)
        what = ", ".join(f"{n} {verdict}" for verdict, n in others.items())
        lines = lines or ["no rule would have done anything"]
        return "\n".join([*lines, f"without a rule: {what}"] if what else lines)


def find_inputs(path: Path) -> Path | None:
    """Return the input log in the folder of a trigger session; None if ``path`` is not such a folder or file."""
    found = sorted(path.glob(f"*{_INPUTS}")) if path.is_dir() else [path] if path.name.endswith(_INPUTS) else []
    return found[0] if found else None


def replay_exactly(inputs: Path) -> tuple[ReplayReport, bool]:
    """Decide again on the inputs of a trigger session; return the report, and whether the log is the same."""
    decisions = list(replay_inputs(inputs))
    log = inputs.with_name(inputs.name.removesuffix(_INPUTS) + _DECISIONS)
    try:
        same = log.read_text(encoding="utf-8") == decisions_text(decisions)
    except OSError as error:
        raise DataError(f"cannot read {log}: {error.strerror}") from None
    return ReplayReport(decisions), same


def replay_rules(rules: Rules, rules_path: Path, path: Path, seed: int, fps: float | None) -> ReplayReport:
    """Evaluate ``rules`` on a session, or on the inputs of a trigger session.

    Args:
        rules: The rules.
        rules_path: Their file.
        path: The session, or the folder or the input log of a trigger session.
        seed: Seed of the random draws.
        fps: Frame rate, for pose files without times.

    Raises:
        DataError: if the session cannot be read.
        ConfigError: if the rules do not fit these poses; a live run would refuse them, too.
    """
    engine = build_engine(rules, seed, load_calibration(rules, rules_path))
    inputs = find_inputs(path)
    if inputs is not None:
        # Other rules have other deadlines and fire at other times, so ticks and results of outputs do not apply. The
        # given rules are used throughout, also if the session has replaced its own.
        logged = read_inputs(inputs).events
        events = (_without_times(event) for event in logged if not isinstance(event, Tick | Withheld | NewRules))
        return ReplayReport(list(replay(engine, _checked(events, rules))))
    parts = read_parts(path, fps)
    first = parts[0]
    several = first.session.animals
    regions = None if not first.session.live else () if several > 1 else first.session.regions
    rules.check_stream(first.keypoint_names, _rate(first), regions, several)
    return ReplayReport(list(replay(engine, session_events(path, fps=fps, parts=parts))), parts)


def _checked(events: Iterable[Event], rules: Rules) -> Iterator[Event]:
    """Check the rules against the first event that names the keypoints. Raises ConfigError."""
    known = False
    for event in events:
        if not known and isinstance(event, FrameEvent | HelloEvent):
            known = True
            if isinstance(event, HelloEvent):
                rules.check_stream(event.keypoint_names, None, event.regions, event.animals)
            elif isinstance(event, AnimalsEvent):
                names = event.animals[0].keypoints if event.animals else ()
                rules.check_stream(list(names), None, (), len(event.animals))
            else:
                rules.check_stream(list(event.keypoints), None)
        yield event


def _rate(tables: SessionTables) -> float | None:
    """Return the frame rate (frames per second); None if the times do not show it."""
    steps = np.diff(np.asarray(tables.seconds, np.float64))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(1 / np.median(steps)) if len(steps) else None


def _without_times(event: Event) -> Event:
    return msgspec.structs.replace(event, asked_ns=()) if isinstance(event, FrameEvent) else event


def write_report(folder: Path, rehearsal: ReplayReport, rules: Rules, rules_path: Path) -> list[str]:
    """Write the log and the picture into ``folder``.

    Returns:
        A line for each thing that could not be drawn, with the reason.

    Raises:
        DataError: if the disk is full.
    """
    write_whole(folder / f"{file_stem(rules_path.stem)}{_DECISIONS}", decisions_text(rehearsal.decisions), MAKE_ROOM)
    if not rehearsal.parts:
        return []
    try:
        image = read_first_frame(footage(rehearsal.parts[0]))
        paths = {tables.session.region: _path(tables) for tables in rehearsal.parts}
        fired = list(_fired(rehearsal, rules))
        picture = draw_zones(image, rules.zones, load_calibration(rules, rules_path), paths, fired)
        write_figure(folder / "zones.png", picture, dpi=ZONES_DPI)
    except CropzoomError as error:
        return [f"no picture: {error}"]
    return []


def _path(tables: SessionTables, keypoints: Collection[str] = ()) -> Float64:
    """Return the mean of these keypoints (all, if none are given): (n, 2) frame pixels, NaN if a frame has none."""
    chosen = [k for k, name in enumerate(tables.keypoint_names) if name in keypoints or not keypoints]
    poses = tables.poses[:, chosen, :2]
    known = np.isfinite(poses).all(axis=2, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, poses, 0.0).sum(axis=1) / known.sum(axis=1), np.float64)


def _fired(rehearsal: ReplayReport, rules: Rules) -> Iterator[Fired]:
    """Yield where the keypoints of a rule were when it fired, for each animal about which the decision is."""
    tables = {part.session.region: part for part in rehearsal.parts}
    paths = {
        (rule, name): _path(part, named_keypoints(settings.when, rules.zones))
        for rule, settings in rules.rules.items()
        for name, part in tables.items()
    }
    for decision in rehearsal.decisions:
        if decision.verdict is Verdict.FIRED and decision.frame is not None:
            for name in [None] if decision.region is None else decision.region.split(";"):
                x, y = paths[decision.rule, name][decision.frame]
                yield Fired(decision.rule, float(x), float(y))
