"""Schema of conditions: one checked model for each kind of condition in a rules file."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator


class Strict(BaseModel):
    """Model without unknown keys, NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


MAX_DURATION_MS = 86_400_000.0
"""Maximum of a time (ms): a day. A longer one is a mistake."""
MAX_OFFSET = 1e6
"""Maximum of a coordinate (pixels or cm). Sums and products of larger numbers lose precision."""

NotNegative = Annotated[float, Field(ge=0, le=1e9)]
Milliseconds = Annotated[float, Field(ge=0, le=MAX_DURATION_MS)]
Duration = Annotated[float, Field(ge=0.01, le=MAX_DURATION_MS)]
"""Duration (ms), at least 0.01."""
Window = Annotated[float, Field(ge=0.01, le=60_000)]
"""Time (ms) to look back, or maximum age of a pose."""
Coordinate = Annotated[float, Field(ge=-MAX_OFFSET, le=MAX_OFFSET)]
Extent = Annotated[float, Field(ge=1e-3, le=MAX_OFFSET)]
Margin = Annotated[float, Field(ge=0, le=10_000)]
KeypointName = Annotated[str, Field(min_length=1, max_length=255)]
Position = KeypointName | tuple[Coordinate, Coordinate]
"""Name of a keypoint, or a fixed position [x, y]."""


def _distinct(names: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(names)) < len(names):
        raise ValueError("the same keypoint is there twice")
    if not any(isinstance(name, str) for name in names):
        raise ValueError("none of them is a keypoint")
    return names


def _as_list(given: Any) -> Any:
    """Return a list; a single value may be given without brackets."""
    return [given] if isinstance(given, str) else given


Pair = Annotated[tuple[KeypointName, KeypointName], AfterValidator(_distinct)]


KINDS: dict[str, type[ConditionModel]] = {}
"""Every kind of condition by the key that names it in a rules file. Each class enters itself when it is defined."""


class ConditionModel(Strict):
    """A condition of a rules file. A subclass with a ``kind`` can be written there."""

    kind: ClassVar[str]
    """Key that names the condition in a rules file, such as ``inside``."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Enter the kind, if the class has one of its own."""
        if "kind" in vars(cls):
            KINDS[cls.kind] = cls

    @property
    def given(self) -> Any:
        """What the rules file has under ``kind``."""
        return getattr(self, self.kind)

    def parts(self) -> Iterator[tuple[tuple[str | int, ...], ConditionModel]]:
        """Yield the conditions inside this one, each with its place in the file, relative to this one."""
        yield from ()

    def keypoints(self, zones: Collection[str]) -> set[str]:
        """Return the keypoints that this condition names itself; ``zones`` are the names of the zones."""
        return set()

    def named_zones(self, zones: Collection[str]) -> set[str]:
        """Return the zones that this condition names itself; ``zones`` are the names of all zones."""
        return set()


class InZone(ConditionModel):
    """A keypoint and a zone: base of all conditions on zones."""

    wants_inside: ClassVar[bool] = True
    """Whether the condition asks for the inside of the zone."""
    keypoint: KeypointName
    margin_px: Margin = 0.0
    margin_cm: Margin = 0.0

    def keypoints(self, zones: Collection[str]) -> set[str]:
        """Return the keypoint."""
        return {self.keypoint}

    def named_zones(self, zones: Collection[str]) -> set[str]:
        """Return the zone."""
        return {self.given}


class Inside(InZone):
    """A keypoint is inside a zone."""

    kind = "inside"
    inside: str


class Outside(InZone):
    """A keypoint is outside a zone."""

    kind = "outside"
    wants_inside = False
    outside: str


class Entered(InZone):
    """A keypoint has just come into a zone."""

    kind = "entered"
    entered: str


class Left(InZone):
    """A keypoint has just gone out of a zone."""

    kind = "left"
    wants_inside = False
    left: str


class Dwelt(InZone):
    """A keypoint has been inside a zone for a time."""

    kind = "dwelt"
    dwelt: str
    for_ms: Duration


class Limits(ConditionModel):
    """Limits on a number: base of all conditions on quantities."""

    unit: ClassVar[str] = ""
    """px or cm, if the quantity is a length or is made of one."""
    above: float | None = None
    below: float | None = None
    between: tuple[float, float] | None = None
    hysteresis: NotNegative = 0.0

    @model_validator(mode="after")
    def _one_range(self) -> Limits:
        given = [self.above is not None or self.below is not None, self.between is not None]
        if sum(given) != 1:
            raise ValueError("expected above:, below:, both of them, or between: [low, high]")
        low, high = self.range()
        if low > high and not self.circular():
            raise ValueError(f"nothing is above {low:g} and below {high:g}")
        return self

    def range(self) -> tuple[float, float]:
        """Return the lowest and the highest allowed number."""
        if self.between is not None:
            return self.between
        return (
            -math.inf if self.above is None else self.above,
            math.inf if self.below is None else self.below,
        )

    def circular(self) -> bool:
        """Return whether the number is an angle, so that 360 is 0."""
        return False

    def quantity(self) -> tuple[Any, ...]:
        """Return what the quantity depends on, as a key: equal keys are the same quantity."""
        return (self.kind, self.given)

    def keypoints(self, zones: Collection[str]) -> set[str]:
        """Return the keypoints that the quantity is made of."""
        names = (self.given,) if isinstance(self.given, str) else self.given
        return {name for name in names if isinstance(name, str)}


class NeverBelowZero(Limits):
    """Limits on a quantity that is never negative."""

    @model_validator(mode="after")
    def _can_hold(self) -> NeverBelowZero:
        if self.range()[1] <= 0:
            raise ValueError("never holds: there is nothing below 0")
        return self


class OverTime(Limits):
    """Limits on a change over time."""

    over_ms: Window

    def quantity(self) -> tuple[Any, ...]:
        """Return what the quantity depends on."""
        return (*super().quantity(), self.over_ms)


class Speed(OverTime, NeverBelowZero):
    """Speed of a keypoint."""

    over_ms: Window = 50.0


class SpeedPx(Speed):
    """Speed in the frame."""

    kind, unit = "speed_px_per_s", "px"
    speed_px_per_s: KeypointName


class SpeedCm(Speed):
    """Speed on the floor of the arena."""

    kind, unit = "speed_cm_per_s", "cm"
    speed_cm_per_s: KeypointName


class Acceleration(OverTime):
    """Change of the speed of a keypoint."""

    over_ms: Window = 100.0


class AccelerationPx(Acceleration):
    """Acceleration in the frame."""

    kind, unit = "acceleration_px_per_s2", "px"
    acceleration_px_per_s2: KeypointName


class AccelerationCm(Acceleration):
    """Acceleration on the floor of the arena."""

    kind, unit = "acceleration_cm_per_s2", "cm"
    acceleration_cm_per_s2: KeypointName


Ends = Annotated[tuple[Position, Position], AfterValidator(_distinct)]
Chain = Annotated[tuple[KeypointName, ...], Field(min_length=2, max_length=100), AfterValidator(_distinct)]


class Length(NeverBelowZero):
    """Distance between two positions, or length of a chain of keypoints."""


class DistancePx(Length):
    """Distance in the frame; a fixed position is in pixels."""

    kind, unit = "distance_px", "px"
    distance_px: Ends


class DistanceCm(Length):
    """Distance on the floor of the arena; a fixed position is in cm."""

    kind, unit = "distance_cm", "cm"
    distance_cm: Ends


class LengthPx(Length):
    """Length in the frame."""

    kind, unit = "length_px", "px"
    length_px: Chain


class LengthCm(Length):
    """Length on the floor of the arena."""

    kind, unit = "length_cm", "cm"
    length_cm: Chain


class DistanceBetweenAnimals(NeverBelowZero):
    """Distance from a keypoint of the rule's animal to a keypoint of the nearest other animal."""


class DistanceBetweenAnimalsPx(DistanceBetweenAnimals):
    """Distance in the frame."""

    kind, unit = "distance_between_animals_px", "px"
    distance_between_animals_px: tuple[KeypointName, KeypointName]


class DistanceBetweenAnimalsCm(DistanceBetweenAnimals):
    """Distance on the floor of the arena."""

    kind, unit = "distance_between_animals_cm", "cm"
    distance_between_animals_cm: tuple[KeypointName, KeypointName]


class Heading(Limits):
    """Direction from the first keypoint to the second."""

    kind = "heading_deg"
    heading_deg: Pair

    def circular(self) -> bool:
        """Return whether the number is an angle, so that 360 is 0."""
        return True

    @model_validator(mode="after")
    def _both_ends(self) -> Heading:
        if self.between is None or not all(-360.0 <= limit <= 360.0 for limit in self.between):
            raise ValueError("a heading needs between: [from, to] in degrees, as in [350, 10]")
        return self


class AngleBetween(Strict):
    """The angle at ``from`` between ``to`` and ``target``."""

    from_: KeypointName = Field(alias="from")
    to: KeypointName
    target: Position
    """A zone (its centre), a keypoint, or a position [x, y]."""


class Angle(Limits):
    """Angle between a direction and a target."""

    kind = "angle_deg"
    angle_deg: AngleBetween

    def keypoints(self, zones: Collection[str]) -> set[str]:
        """Return the keypoints; the target may be the name of a zone or a fixed position."""
        angle = self.angle_deg
        is_keypoint = isinstance(angle.target, str) and angle.target not in zones
        return {angle.from_, angle.to, *([str(angle.target)] if is_keypoint else [])}

    def named_zones(self, zones: Collection[str]) -> set[str]:
        """Return the zone of the target, if it is one."""
        target = self.angle_deg.target
        return {target} if isinstance(target, str) and target in zones else set()


class Turning(OverTime):
    """Speed at which a heading turns."""

    kind = "turning_deg_per_s"
    turning_deg_per_s: Pair
    direction: Literal["either", "left", "right"] = "either"
    over_ms: Window = 50.0

    def quantity(self) -> tuple[Any, ...]:
        """Return what the quantity depends on."""
        return (*super().quantity(), self.direction)


class Likelihood(Limits):
    """Likelihood of a keypoint."""

    kind = "likelihood"
    likelihood: KeypointName

    @model_validator(mode="after")
    def _of_a_probability(self) -> Likelihood:
        low, high = self.range()
        if low >= 1 or high <= 0:
            raise ValueError("never holds: a likelihood lies between 0 and 1")
        return self


StateName = Literal["searching", "tracking", "coasting", "lost"]


class StateIs(ConditionModel):
    """The state of the tracking."""

    kind = "state"
    state: Annotated[tuple[StateName, ...], BeforeValidator(_as_list), Field(min_length=1)]

    def names(self) -> frozenset[str]:
        """Return the states."""
        return frozenset(self.state)


class Several(ConditionModel):
    """A combination of conditions."""

    def parts(self) -> Iterator[tuple[tuple[str | int, ...], ConditionModel]]:
        """Yield the parts."""
        for i, part in enumerate(self.given):
            yield (self.kind, i), part


class AllOf(Several):
    """All of some conditions hold."""

    kind = "all"
    all: Annotated[tuple[AnyCondition, ...], Field(min_length=1)]


class AnyOf(Several):
    """At least one of some conditions holds."""

    kind = "any"
    any: Annotated[tuple[AnyCondition, ...], Field(min_length=1)]


class NotThis(ConditionModel):
    """A condition does not hold."""

    kind = "not"
    not_: AnyCondition = Field(alias="not")

    @property
    def given(self) -> ConditionModel:
        """The condition that must not hold."""
        return self.not_

    def parts(self) -> Iterator[tuple[tuple[str | int, ...], ConditionModel]]:
        """Yield the condition that must not hold."""
        yield (self.kind,), self.not_


def find_kind(raw: Any) -> str | None:
    """Return the kind of a condition, given as a mapping or a model; None if it is not clear."""
    if isinstance(raw, dict):
        found = [key for key in raw if key in KINDS]
        return found[0] if len(found) == 1 else None
    return raw.kind if isinstance(raw, ConditionModel) else None


def _tag(raw: Any) -> str | None:
    """Return the kind as a tag that cannot be taken for a key of the file."""
    kind = find_kind(raw)
    return None if kind is None else f"<{kind}>"


if TYPE_CHECKING:
    AnyCondition = ConditionModel
else:
    AnyCondition = Annotated[
        Union[tuple(Annotated[model, Tag(f"<{kind}>")] for kind, model in KINDS.items())],  # noqa: UP007
        Discriminator(
            _tag,
            custom_error_type="no_condition",
            custom_error_message="expected one condition: " + ", ".join(KINDS),
        ),
    ]

for _model in (AllOf, AnyOf, NotThis):
    _model.model_rebuild()
