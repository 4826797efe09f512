"""The conditions a rules file can name, as checked models: one model a kind, found by its key."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator


class Strict(BaseModel):
    """No unknown keys, no numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


LONGEST_MS = 86_400_000.0
"""A day: nobody means a longer time in milliseconds."""
MAX_OFFSET = 1e6
"""No frame has so many pixels, and no arena so many cm; sums and products of larger numbers lose their digits."""

NotNegative = Annotated[float, Field(ge=0, le=1e9)]
Milliseconds = Annotated[float, Field(ge=0, le=LONGEST_MS)]
Duration = Annotated[float, Field(ge=0.01, le=LONGEST_MS)]
"""In ms; a shorter one would be none."""
Window = Annotated[float, Field(ge=0.01, le=60_000)]
"""In ms: what is looked back at, and how old a pose may be."""
Coordinate = Annotated[float, Field(ge=-MAX_OFFSET, le=MAX_OFFSET)]
Extent = Annotated[float, Field(ge=1e-3, le=MAX_OFFSET)]
Margin = Annotated[float, Field(ge=0, le=10_000)]
KeypointName = Annotated[str, Field(min_length=1, max_length=255)]
Spot = KeypointName | tuple[Coordinate, Coordinate]
"""A keypoint's name, or a fixed place [x, y]."""


def _distinct(names: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(names)) < len(names):
        raise ValueError("the same keypoint is there twice")
    if not any(isinstance(name, str) for name in names):
        raise ValueError("none of them is a keypoint")
    return names


def _listed(given: Any) -> Any:
    """One may stand without the brackets."""
    return [given] if isinstance(given, str) else given


Pair = Annotated[tuple[KeypointName, KeypointName], AfterValidator(_distinct)]


class InZone(Strict):
    """What all conditions on zones have."""

    keypoint: KeypointName
    margin_px: Margin = 0.0
    margin_cm: Margin = 0.0


class Inside(InZone):
    """A keypoint is in a zone."""

    inside: str


class Outside(InZone):
    """A keypoint is not in a zone."""

    outside: str


class Entered(InZone):
    """A keypoint has just come into a zone."""

    entered: str


class Left(InZone):
    """A keypoint has just gone out of a zone."""

    left: str


class Dwelt(InZone):
    """A keypoint has been in a zone for a time."""

    dwelt: str
    for_ms: Duration


class Limits(Strict):
    """What all conditions on numbers have."""

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
        """Return the lowest and the highest number allowed."""
        if self.between is not None:
            return self.between
        return (
            -math.inf if self.above is None else self.above,
            math.inf if self.below is None else self.below,
        )

    def circular(self) -> bool:
        """Whether 360 is 0."""
        return False


class NeverBelowZero(Limits):
    """Limits on what has no sign."""

    @model_validator(mode="after")
    def _can_hold(self) -> NeverBelowZero:
        if self.range()[1] <= 0:
            raise ValueError("never holds: there is nothing below 0")
        return self


class SpeedPx(NeverBelowZero):
    """Speed of a keypoint."""

    speed_px_per_s: KeypointName
    over_ms: Window = 50.0


class SpeedCm(NeverBelowZero):
    """Speed of a keypoint, calibrated."""

    speed_cm_per_s: KeypointName
    over_ms: Window = 50.0


class AccelerationPx(Limits):
    """Change of speed."""

    acceleration_px_per_s2: KeypointName
    over_ms: Window = 100.0


class AccelerationCm(Limits):
    """Change of speed, calibrated."""

    acceleration_cm_per_s2: KeypointName
    over_ms: Window = 100.0


class DistancePx(NeverBelowZero):
    """Between two keypoints, or a keypoint and a place."""

    distance_px: Annotated[tuple[Spot, Spot], AfterValidator(_distinct)]


class DistanceCm(NeverBelowZero):
    """Between two keypoints, or a keypoint and a place in cm."""

    distance_cm: Annotated[tuple[Spot, Spot], AfterValidator(_distinct)]


class LengthPx(NeverBelowZero):
    """Along a chain of keypoints."""

    length_px: Annotated[tuple[KeypointName, ...], Field(min_length=2, max_length=100), AfterValidator(_distinct)]


class LengthCm(NeverBelowZero):
    """Along a chain of keypoints, calibrated."""

    length_cm: Annotated[tuple[KeypointName, ...], Field(min_length=2, max_length=100), AfterValidator(_distinct)]


class Heading(Limits):
    """Direction from one keypoint to another."""

    heading_deg: Pair

    def circular(self) -> bool:
        """Whether 360 is 0."""
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
    target: Spot
    """A zone (its centre), a keypoint, or a place [x, y]."""


class Angle(Limits):
    """How far a direction is off a target."""

    angle_deg: AngleBetween


class Turning(Limits):
    """How fast a heading turns."""

    turning_deg_per_s: Pair
    direction: Literal["either", "left", "right"] = "either"
    over_ms: Window = 50.0


class Likelihood(Limits):
    """How sure the model is of a keypoint."""

    likelihood: KeypointName

    @model_validator(mode="after")
    def _of_a_probability(self) -> Likelihood:
        low, high = self.range()
        if low >= 1 or high <= 0:
            raise ValueError("never holds: a likelihood lies between 0 and 1")
        return self


StateName = Literal["searching", "tracking", "coasting", "lost"]


class StateIs(Strict):
    """The state of the tracking."""

    state: Annotated[tuple[StateName, ...], BeforeValidator(_listed), Field(min_length=1)]

    def names(self) -> frozenset[str]:
        """Return the states that are meant."""
        return frozenset(self.state)


class AllOf(Strict):
    """All of some conditions hold."""

    all: Annotated[tuple[AnyCondition, ...], Field(min_length=1)]


class AnyOf(Strict):
    """At least one of some conditions holds."""

    any: Annotated[tuple[AnyCondition, ...], Field(min_length=1)]


class NotThis(Strict):
    """A condition does not hold."""

    not_: AnyCondition = Field(alias="not")


KINDS: dict[str, type[Strict]] = {
    "inside": Inside,
    "outside": Outside,
    "entered": Entered,
    "left": Left,
    "dwelt": Dwelt,
    "speed_px_per_s": SpeedPx,
    "speed_cm_per_s": SpeedCm,
    "acceleration_px_per_s2": AccelerationPx,
    "acceleration_cm_per_s2": AccelerationCm,
    "distance_px": DistancePx,
    "distance_cm": DistanceCm,
    "length_px": LengthPx,
    "length_cm": LengthCm,
    "heading_deg": Heading,
    "angle_deg": Angle,
    "turning_deg_per_s": Turning,
    "likelihood": Likelihood,
    "state": StateIs,
    "all": AllOf,
    "any": AnyOf,
    "not": NotThis,
}


def kind_of(raw: Any) -> str | None:
    """Return which kind of condition a mapping is, None where that cannot be told."""
    if isinstance(raw, dict):
        found = [key for key in raw if key in KINDS]
        return found[0] if len(found) == 1 else None
    return next((kind for kind, model in KINDS.items() if isinstance(raw, model)), None)


def _tag_of(raw: Any) -> str | None:
    """The same as a tag that no key of the file can be taken for."""
    kind = kind_of(raw)
    return None if kind is None else f"<{kind}>"


AnyCondition = Annotated[
    Annotated[Inside, Tag("<inside>")]
    | Annotated[Outside, Tag("<outside>")]
    | Annotated[Entered, Tag("<entered>")]
    | Annotated[Left, Tag("<left>")]
    | Annotated[Dwelt, Tag("<dwelt>")]
    | Annotated[SpeedPx, Tag("<speed_px_per_s>")]
    | Annotated[SpeedCm, Tag("<speed_cm_per_s>")]
    | Annotated[AccelerationPx, Tag("<acceleration_px_per_s2>")]
    | Annotated[AccelerationCm, Tag("<acceleration_cm_per_s2>")]
    | Annotated[DistancePx, Tag("<distance_px>")]
    | Annotated[DistanceCm, Tag("<distance_cm>")]
    | Annotated[LengthPx, Tag("<length_px>")]
    | Annotated[LengthCm, Tag("<length_cm>")]
    | Annotated[Heading, Tag("<heading_deg>")]
    | Annotated[Angle, Tag("<angle_deg>")]
    | Annotated[Turning, Tag("<turning_deg_per_s>")]
    | Annotated[Likelihood, Tag("<likelihood>")]
    | Annotated[StateIs, Tag("<state>")]
    | Annotated[AllOf, Tag("<all>")]
    | Annotated[AnyOf, Tag("<any>")]
    | Annotated[NotThis, Tag("<not>")],
    Discriminator(
        _tag_of,
        custom_error_type="no_condition",
        custom_error_message="expected one condition: " + ", ".join(KINDS),
    ),
]

for _model in (AllOf, AnyOf, NotThis):
    _model.model_rebuild()
