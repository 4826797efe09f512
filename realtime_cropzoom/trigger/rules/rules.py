"""Rules file: reads and checks it, and reports all mistakes at once, one line each, before anything runs."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from realtime_cropzoom.errors import ConfigError, did_you_mean, listed, shorten
from realtime_cropzoom.inference.tracks import MAX_ANIMALS
from realtime_cropzoom.trigger.rules import schema, zones
from realtime_cropzoom.trigger.rules.schema import (
    AnyCondition,
    ConditionModel,
    Coordinate,
    Duration,
    Extent,
    Milliseconds,
    StateName,
    Strict,
    Window,
)
from realtime_cropzoom.trigger.rules.validation_errors import Place, RulesError, explain, with_line
from realtime_cropzoom.yaml_file import compose_yaml, parse_mapping, read_text

_MAX_LINES = 20
"""Maximum number of mistakes that are listed. Each needs a search in the file."""

Probability = Annotated[float, Field(ge=0, le=1)]


def _plain_name(name: str) -> str:
    """Check a name. It goes into the log, where punctuation has a meaning."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,59}", name):
        raise ValueError("a name has up to 60 letters, digits, _ and -, and begins with a letter")
    return name


Name = Annotated[str, AfterValidator(_plain_name)]


class Quantifier(enum.StrEnum):
    """For how many of several animals a condition must hold."""

    ANY = "any"
    ALL = "all"


def _animal(given: Any) -> Any:
    """Return what a rule says about its animal: its number, or a quantifier."""
    if isinstance(given, str) and given in tuple(Quantifier):
        return Quantifier(given)
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MAX_ANIMALS:
        return given
    raise ValueError(f"expected any, all, or a number from 1 to {MAX_ANIMALS}")


WhichAnimal = Annotated[Quantifier | int, BeforeValidator(_animal)]


def _number_as_text(given: Any) -> Any:
    """Return a whole number as text: a region may be called 1."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


RegionName = Annotated[str, Field(min_length=1, max_length=40), BeforeValidator(_number_as_text)]
Corners = Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(max_length=zones.MAX_CORNERS)]
Span = tuple[float, float]
OnSeconds = Annotated[float, Field(gt=0, le=604_800)]
"""Seconds, at most a week: a longer limit would limit nothing."""


def _spans(given: Any) -> Any:
    """Return a list of spans; a single span may be given without the outer brackets."""
    return [given] if isinstance(given, list) and given and not isinstance(given[0], list) else given


def _in_order(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    for begin, end in spans:
        if not 0 <= begin < end <= _MAX_MINUTE:
            raise ValueError(f"[{begin:g}, {end:g}] is not a span of minutes; expected [begin, end]")
    return spans


_MAX_MINUTE = 1e6
"""Maximum of a span (minutes): two years."""

Minutes = Annotated[
    tuple[Span, ...], BeforeValidator(_spans), AfterValidator(_in_order), Field(min_length=1, max_length=1000)
]


class ZoneShape(Strict):
    """Shape of a zone, in one of six forms."""

    rectangle_px: tuple[Coordinate, Coordinate, Extent, Extent] | None = None
    rectangle_cm: tuple[Coordinate, Coordinate, Extent, Extent] | None = None
    circle_px: tuple[Coordinate, Coordinate, Extent] | None = None
    circle_cm: tuple[Coordinate, Coordinate, Extent] | None = None
    polygon_px: Corners | None = None
    polygon_cm: Corners | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> ZoneShape:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"expected one of {', '.join(ZoneShape.model_fields)}")
        (kind,) = self.model_fields_set
        given = getattr(self, kind)
        if given is None:
            raise ValueError(f"{kind} is empty; expected numbers")
        outline = zones.polygon(given).problem() if kind.startswith("polygon") else None
        if outline is not None:
            raise ValueError(f"the polygon {outline}")
        return self

    @property
    def in_cm(self) -> bool:
        """Whether the shape is in cm."""
        return next(iter(self.model_fields_set)).endswith("_cm")

    def shape(self) -> zones.Zone:
        """Return the zone, in its own unit."""
        if rectangle := self.rectangle_px or self.rectangle_cm:
            return zones.Rectangle(*rectangle)
        if circle := self.circle_px or self.circle_cm:
            return zones.Circle(*circle)
        return zones.polygon(self.polygon_px or self.polygon_cm or ())


class SessionLimits(Strict):
    """Limits on all rules together, from the start of the trigger process to its end."""

    max_fired: Annotated[int, Field(ge=0, le=1_000_000)] = 500
    max_on_s: Annotated[float, Field(ge=0, le=604_800)] = 300.0


class Rule(Strict):
    """A rule: a condition and the outputs it switches. None means the setting of the file."""

    when: AnyCondition
    for_ms: Milliseconds = 0.0
    """Time (ms of capture time) for which the condition must have held."""
    fire: Annotated[tuple[str, ...], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)] = (
        Field(min_length=1)
    )
    pulse_ms: Duration | None = None
    hold: bool = False
    repeat: bool = False
    """Fire again while the condition still holds, as often as ``refractory_ms`` allows."""
    refractory_ms: Milliseconds = 0.0
    """Minimum time (ms) from a firing, or from the release of a hold, to the next firing."""
    probability: Probability = 1.0
    max_per_minute: Annotated[int, Field(gt=0, le=60_000)] | None = None
    max_fired: Annotated[int, Field(gt=0, le=1_000_000)] | None = None
    max_on_s: OnSeconds | None = None
    minutes: Minutes | None = None
    max_age_ms: Window | None = None
    min_likelihood: Probability | None = None
    states: Annotated[tuple[StateName, ...], Field(min_length=1)] | None = None
    implausible: Literal["refuse", "allow"] | None = None
    region: RegionName | None = None
    """The region whose animal the rule watches; it sees no other. None in a run without regions."""
    animal: WhichAnimal | None = None
    """The animal that the rule watches, of several in one arena: its number, or any or all. None in a run with one."""
    uncertain: Literal["refuse", "allow"] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Rule:
        if self.hold == (self.pulse_ms is not None):
            raise ValueError("expected either pulse_ms: or hold: true")
        if len(set(self.fire)) < len(self.fire):
            raise ValueError("fire names an output twice")
        edges = [part.kind for part, _ in walk(self.when) if isinstance(part, schema.Entered | schema.Left)]
        if edges and (self.hold or self.for_ms or self.repeat):
            option = "hold" if self.hold else "for_ms" if self.for_ms else "repeat"
            other = "inside, outside or dwelt" if edges[0] == "entered" else "outside"
            raise ValueError(f"{edges[0]} is true for one frame only, which {option} cannot work with; use {other}")
        if self.repeat and (self.hold or self.refractory_ms <= (self.pulse_ms or 0.0)):
            raise ValueError("repeat needs pulse_ms and a refractory_ms longer than the pulse")
        if self.max_on_s is not None and (self.pulse_ms or 0.0) > self.max_on_s * 1000:
            raise ValueError(f"one pulse of {self.pulse_ms:g} ms is more than max_on_s {self.max_on_s:g} allows")
        return self


class Rules(Strict):
    """A whole rules file."""

    endpoint: Annotated[str, Field(max_length=300)] = "tcp://127.0.0.1:5660"
    camera: Annotated[str, Field(max_length=100)] | None = None
    calibration: Annotated[str, Field(max_length=4000)] | None = None
    """Calibration file, relative to the rules file."""
    filter: Literal["none", "one_euro", "kalman"] = "none"
    predict: bool = False
    output_delay_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    armed: bool = False
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    """Seed of the sham trials; None: each session draws one, and the log has it."""
    max_age_ms: Window = 50.0
    min_likelihood: Probability = 0.6
    states: Annotated[tuple[StateName, ...], Field(min_length=1)] = ("tracking",)
    implausible: Literal["refuse", "allow"] = "refuse"
    """Whether rules refuse a pose that the tracker calls implausible."""
    region: RegionName | None = None
    """The region of the rules that name none themselves."""
    animal: WhichAnimal | None = None
    """The animal of the rules that name none themselves."""
    uncertain: Literal["refuse", "allow"] = "refuse"
    """Whether rules refuse an animal that may have been taken for another one."""
    bridge_ms: Window = 100.0
    """Maximum gap (ms of capture time) without a known value. A longer one resets durations and sides."""
    hold_max_age_ms: Window = 100.0
    """Maximum age (ms) of the newest pose while a rule holds its outputs on."""
    stream_lost_after_ms: Window = 500.0
    minutes: Minutes | None = None
    test_pulse_ms: Annotated[float, Field(ge=0.01, le=10_000)] = 10.0
    limits: SessionLimits = SessionLimits()
    zones: Annotated[dict[Name, ZoneShape], Field(max_length=200)] = Field(default_factory=dict)
    outputs: dict[Name, dict[str, Any]]
    sync: dict[str, Any] | None = None
    rules: Annotated[dict[Name, Rule], Field(min_length=1)]

    def unknown_keypoints(self, names: Sequence[str]) -> list[str]:
        """Return a line for each keypoint that a rule names but the model does not have."""
        return [
            f"rules.{rule}: no keypoint {shorten(name)}; the model has {_listed_with_advice(name, names)}"
            for rule, settings in self.rules.items()
            for name in sorted(named_keypoints(settings.when, self.zones))
            if name not in names
        ]

    def region_of(self, rule: str) -> str | None:
        """Return the region whose animal a rule watches; None if it names none."""
        return self.rules[rule].region or self.region

    def animal_of(self, rule: str) -> Quantifier | int | None:
        """Return which of several animals in one arena a rule watches; None if it names none."""
        return self.rules[rule].animal or self.animal

    def unfit_animals(self, animals: int) -> list[str]:
        """Return a line for each rule that does not name one of the animals of a run."""
        lines = []
        for rule in self.rules:
            animal = self.animal_of(rule)
            between = next((part.kind for part, _ in walk(self.rules[rule].when) if _is_between_animals(part)), None)
            if animal is not None and self.region_of(rule) is not None:
                lines.append(f"rules.{rule}: names an animal and a region; a region has one animal, leave out animal")
            elif between is not None and animals == 1:
                lines.append(f"rules.{rule}: has {between}, but the run follows one animal; leave it out")
            elif animal is None and animals > 1:
                lines.append(
                    f"rules.{rule}: names no animal, but the run has {animals}; give it one, as animal: 1, any or all"
                )
            elif animal is not None and animals == 1:
                lines.append(f"rules.{rule}: says animal: {animal}, but the run follows one; leave it out")
            elif isinstance(animal, int) and animal > animals:
                lines.append(f"rules.{rule}: names the animal {animal}, but the run has {animals}; give 1 to {animals}")
        return lines

    def unfit_regions(self, regions: Collection[str], animals: int = 1) -> list[str]:
        """Return a line for each rule that does not name one of the regions, or of the animals, of a run.

        Args:
            regions: The regions; may be empty.
            animals: Number of animals in one arena.
        """
        lines = self.unfit_animals(animals)
        if lines or animals > 1:
            return lines
        for rule in self.rules:
            region = self.region_of(rule)
            if region is None and regions:
                lines.append(
                    f"rules.{rule}: names no region, but the run has {listed(regions)}; give the rule one, as "
                    f"region: {next(iter(regions))}"
                )
            elif region is not None and not regions:
                lines.append(f"rules.{rule}: names the region {shorten(region)}, but the run has none; leave it out")
            elif region is not None and region not in regions:
                lines.append(f"rules.{rule}: no region {_not_found(region, regions)}")
        return lines

    def check_stream(
        self, names: Sequence[str], fps: float | None, regions: Collection[str] | None = None, animals: int = 1
    ) -> None:
        """Check the rules against a stream.

        Args:
            names: Keypoints of the model.
            fps: Frame rate (frames per second); None if unknown.
            regions: Regions of the run; None if unknown.
            animals: Number of animals in one arena, if the regions are known.

        Raises:
            ConfigError: one line for each thing that is wrong.
        """
        problems = [*self.unknown_keypoints(names), *(() if regions is None else self.unfit_regions(regions, animals))]
        if fps is not None and fps > 0 and 1000 / fps >= self.bridge_ms:
            problems.append(
                f"bridge_ms is {self.bridge_ms:g}, but poses are {1000 / fps:.0f} ms apart, "
                f"so that no duration could be measured; give at least {2000 / fps:.0f}"
            )
        if problems:
            raise ConfigError("\n".join(problems))


def load_rules(path: Path) -> Rules:
    """Read a rules file.

    Raises:
        ConfigError: one line for each thing that is wrong, with its place.
    """
    return read_rules(read_text(path), str(path))


def read_rules(text: str, name: str) -> Rules:
    """Return the rules in the text of a rules file.

    Args:
        text: The text.
        name: Name of the file, for the mistakes.

    Raises:
        ConfigError: one line for each thing that is wrong, with its place.
    """
    with mistakes_located_in(text, name):
        return parse_rules(parse_mapping(text, name))


@contextmanager
def mistakes_located_in(text: str, name: str) -> Iterator[None]:
    """Give the mistakes that are found in the ``with`` block their lines in the file.

    Args:
        text: Text of the file.
        name: Its name.

    Raises:
        ConfigError: one line for each thing that is wrong, with its place.
    """
    try:
        yield
    except RulesError as error:
        tree = compose_yaml(text)
        lines = [with_line(name, tree, place, problem) for place, problem in error.problems[:_MAX_LINES]]
        if (more := len(error.problems) - len(lines)) > 0:
            lines.append(f"{name}: {more} more lines are wrong")
        raise ConfigError("\n".join(lines)) from None
    except RecursionError:
        raise ConfigError(f"{name}: conditions are nested too deep") from None


def parse_rules(content: dict[str, Any]) -> Rules:
    """Check the content of a rules file.

    Raises:
        RulesError: if something is wrong.
    """
    try:
        rules = Rules.model_validate(content)
    except ValidationError as error:
        found = [
            e for e in error.errors() if not (e["type"] == "too_short" and e["input"])
        ]  # because its parts are wrong
        problems = [*_explained(found, content), *_unknown_outputs(content)]
        raise RulesError(list(dict.fromkeys(problems))) from None
    if problems := list(_contradictions(rules)):
        raise RulesError(problems)
    return rules


def _explained(errors: Sequence[Any], content: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield the place and the text of errors of pydantic.

    A list where a name or a position may stand is no text: that is left out if the position is wrong, too.
    """
    names = all_setting_names()
    explained = [
        (*explain(e, content, names), e["type"] == "string_type" and isinstance(e["input"], list)) for e in errors
    ]
    positions = [place for place, _, is_list in explained if not is_list]
    for place, text, is_list in explained:
        if not is_list or not any(other[: len(place)] == place for other in positions):
            yield place, text


def _unknown_outputs(content: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Yield outputs that rules fire but the file does not have, if other things are wrong, too."""
    outputs, rules = content.get("outputs"), content.get("rules")
    if not isinstance(outputs, dict) or not isinstance(rules, dict):
        return
    for name, rule in rules.items():
        fire = rule.get("fire") if isinstance(rule, dict) else None
        for output in [fire] if isinstance(fire, str) else fire if isinstance(fire, list) else []:
            if isinstance(output, str) and output not in outputs:
                yield ("rules", name, "fire"), f"no output {_not_found(output, [*map(str, outputs)])}"


def all_setting_names() -> set[str]:
    """Return the names of all settings of a rules file, to find the one that was misspelt."""
    models: list[type[Strict]] = [Rules, Rule, ZoneShape, SessionLimits, *schema.KINDS.values()]
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _is_between_animals(condition: ConditionModel) -> bool:
    return isinstance(condition, schema.DistanceBetweenAnimals)


def walk(condition: ConditionModel, place: Place = ()) -> Iterator[tuple[ConditionModel, Place]]:
    """Yield a condition and all within it, each with its place."""
    yield condition, place
    for part_place, part in condition.parts():
        yield from walk(part, (*place, *part_place))


def named_keypoints(condition: ConditionModel, named_zones: Collection[str]) -> set[str]:
    """Return the keypoints that a condition and all within it name."""
    return {name for part, _ in walk(condition) for name in part.keypoints(named_zones)}


def named_zones(condition: ConditionModel, zones: Collection[str]) -> set[str]:
    """Return those of ``zones`` that a condition and all within it name."""
    return {name for part, _ in walk(condition) for name in part.named_zones(zones)}


def zone_contradictions(shapes: Mapping[str, ZoneShape], calibration: str | None) -> Iterator[tuple[Place, str]]:
    """Yield each zone that is in cm although there is no calibration."""
    for name, zone in shapes.items():
        if zone.in_cm and calibration is None:
            yield ("zones", name), "is in cm, but there is no calibration:; give the file, or the zone in px"


def _contradictions(rules: Rules) -> Iterator[tuple[Place, str]]:
    """Yield contradictions between settings."""
    if rules.predict and rules.filter == "none":
        yield ("predict",), "prediction needs a velocity; give filter: one_euro or filter: kalman"
    if "hold_max_age_ms" in rules.model_fields_set and rules.hold_max_age_ms < rules.max_age_ms:
        yield ("hold_max_age_ms",), f"is {rules.hold_max_age_ms:g}, less than max_age_ms ({rules.max_age_ms:g})"
    yield from zone_contradictions(rules.zones, rules.calibration)
    for name, rule in rules.rules.items():
        for output in rule.fire:
            if output not in rules.outputs:
                yield ("rules", name, "fire"), f"no output {_not_found(output, rules.outputs)}"
        states = frozenset(rule.states or rules.states)
        for condition, place in walk(rule.when, ("rules", name, "when")):
            for text in _problems_of(condition, rules, states):
                yield (*place, condition.kind), text


def _problems_of(condition: ConditionModel, rules: Rules, states: frozenset[str]) -> Iterator[str]:
    if isinstance(condition, schema.InZone):
        zone = rules.zones.get(condition.given)
        if zone is None:
            yield f"no zone {_not_found(condition.given, rules.zones)}"
        elif (zone.in_cm and condition.margin_px) or (not zone.in_cm and condition.margin_cm):
            yield f"the zone is in {'cm' if zone.in_cm else 'px'}, so its margin must be, too"
    if isinstance(condition, schema.StateIs) and not condition.names() & states:
        yield (
            f"never holds, since the rule goes by states: [{', '.join(sorted(states))}] only; "
            f"give it states: [{', '.join(sorted(condition.names()))}]"
        )
    if isinstance(condition, schema.Limits) and condition.unit == "cm" and rules.calibration is None:
        yield f"needs a calibration:; give the file, or use {condition.kind.replace('_cm', '_px')}"


def _not_found(name: str, names: Collection[str]) -> str:
    return f"{shorten(name)}; there are {_listed_with_advice(name, names)}"


def _listed_with_advice(name: str, names: Collection[str]) -> str:
    likely = did_you_mean(name, names)
    return (listed(names) or "none") + (f".{likely}" if likely else "")
