"""Replays as ``cropzoom trigger --replay`` gives them: a log, a picture, and what came of it in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from realtime_cropzoom.errors import CropzoomError, DataError
from realtime_cropzoom.files.atomic import MAKE_ROOM, write_whole
from realtime_cropzoom.plots.image_files import write_figure
from realtime_cropzoom.plots.session_pictures import footage
from realtime_cropzoom.sessions.folder import file_stem
from realtime_cropzoom.sessions.table import SessionTables, read_session
from realtime_cropzoom.sources.first_frame import read_first_frame
from realtime_cropzoom.trigger.engine.events import Decision, Event, HelloEvent, PoseEvent, Tick, Verdict, Withheld
from realtime_cropzoom.trigger.engine.factory import build_engine, load_calibration
from realtime_cropzoom.trigger.process.decision_log import decisions_text
from realtime_cropzoom.trigger.process.input_log import read_inputs
from realtime_cropzoom.trigger.process.replay import replay, replay_inputs, session_events
from realtime_cropzoom.trigger.process.zone_picture import ZONES_DPI, Fired, draw_zones
from realtime_cropzoom.trigger.rules.rules import Rules, named_keypoints
from realtime_cropzoom.types import Float64

_INPUTS, _DECISIONS = "_inputs.jsonl", "_decisions.csv"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What rules would have done."""

    decisions: list[Decision]
    session: Path | None
    """The session whose poses were taken; None where it was the log of triggers."""

    def report(self) -> str:
        """Return it in words: how often, and on which frames."""
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
    """Return the file of inputs of a trigger log; None where ``path`` is none."""
    found = sorted(path.glob(f"*{_INPUTS}")) if path.is_dir() else [path] if path.name.endswith(_INPUTS) else []
    return found[0] if found else None


def replay_exactly(inputs: Path) -> tuple[ReplayReport, bool]:
    """Decide again on what a trigger session was given; return that, and whether its log says the same."""
    decisions = list(replay_inputs(inputs))
    log = inputs.with_name(inputs.name.removesuffix(_INPUTS) + _DECISIONS)
    try:
        same = log.read_text(encoding="utf-8") == decisions_text(decisions)
    except OSError as error:
        raise DataError(f"cannot read {log}: {error.strerror}") from None
    return ReplayReport(decisions, None), same


def replay_rules(rules: Rules, rules_path: Path, path: Path, seed: int, fps: float | None) -> ReplayReport:
    """Decide by ``rules`` on a session, or on what a trigger session was given.

    Raises DataError, or ConfigError where the rules could never run on these poses: live they would be refused, too.
    """
    engine = build_engine(rules, seed, load_calibration(rules, rules_path))
    inputs = find_inputs(path)
    if inputs is not None:
        # Other rules ask for other ticks and fire at other times; what outputs did then is not theirs.
        logged = read_inputs(inputs).events
        events = (_without_times(event) for event in logged if not isinstance(event, Tick | Withheld))
        return ReplayReport(list(replay(engine, _checked(events, rules))), None)
    tables = read_session(path, fps=fps)
    rules.check_stream(tables.keypoint_names, _rate(tables))
    return ReplayReport(list(replay(engine, session_events(path, fps=fps, tables=tables))), path)


def _checked(events: Iterable[Event], rules: Rules) -> Iterator[Event]:
    """Hold the rules against the first message that says which keypoints there are. Raises ConfigError."""
    known = False
    for event in events:
        if not known and isinstance(event, PoseEvent | HelloEvent):
            known = True
            names = event.keypoints if isinstance(event, PoseEvent) else event.keypoint_names
            rules.check_stream(list(names), None)
        yield event


def _rate(tables: SessionTables) -> float | None:
    """Frames a second; None where the times do not say."""
    steps = np.diff(np.asarray(tables.seconds, np.float64))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(1 / np.median(steps)) if len(steps) else None


def _without_times(event: Event) -> Event:
    return msgspec.structs.replace(event, asked_ns=()) if isinstance(event, PoseEvent) else event


def write_report(folder: Path, rehearsal: ReplayReport, rules: Rules, rules_path: Path) -> list[str]:
    """Leave log and picture in ``folder``; return what could not be drawn, and why. Raises DataError on a full disk."""
    write_whole(folder / f"{file_stem(rules_path.stem)}{_DECISIONS}", decisions_text(rehearsal.decisions), MAKE_ROOM)
    if rehearsal.session is None:
        return []
    try:
        tables = read_session(rehearsal.session)
        image = read_first_frame(footage(tables))
        fired = list(_fired(rehearsal, tables, rules))
        picture = draw_zones(image, rules, load_calibration(rules, rules_path), _path(tables), fired)
        write_figure(folder / "zones.png", picture, dpi=ZONES_DPI)
    except CropzoomError as error:
        return [f"no picture: {error}"]
    return []


def _path(tables: SessionTables, keypoints: Collection[str] = ()) -> Float64:
    """(n, 2): the mean of these keypoints, of all if none are given, frame by frame; NaN where there is none."""
    chosen = [k for k, name in enumerate(tables.keypoint_names) if name in keypoints or not keypoints]
    poses = tables.poses[:, chosen, :2]
    known = np.isfinite(poses).all(axis=2, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, poses, 0.0).sum(axis=1) / known.sum(axis=1), np.float64)


def _fired(rehearsal: ReplayReport, tables: SessionTables, rules: Rules) -> Iterator[Fired]:
    """Where the keypoints were that a rule is about."""
    paths = {name: _path(tables, named_keypoints(rule.when, rules.zones)) for name, rule in rules.rules.items()}
    for decision in rehearsal.decisions:
        if decision.verdict is Verdict.FIRED and decision.frame is not None:
            x, y = paths[decision.rule][decision.frame]
            yield Fired(decision.rule, float(x), float(y))
