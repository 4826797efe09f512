"""Watch: the animals on which a rule decides, and what holds for all of them together.

A rule watches one animal, or any or all of several in one arena, each with a condition of its own. ``any`` holds while
the condition holds for at least one animal, ``all`` while it holds for each of them. An animal whose pose cannot be
trusted is unknown; logic has three values, as in ``conditions``.

An animal that may have been taken for another one is not the same any more: its condition begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from realtime_cropzoom.trigger.engine.animal_view import ViewKey
from realtime_cropzoom.trigger.engine.conditions import Condition
from realtime_cropzoom.trigger.engine.pose_sample import UNCERTAIN, Demands, PoseSample
from realtime_cropzoom.trigger.rules.rules import Quantifier

_OVER = "no longer holds"
_TAKEN = "holds for another animal"


class Watch:
    """The animals of a rule."""

    __slots__ = ("ended", "lasts", "reason", "views")

    def __init__(self) -> None:
        self.views: tuple[ViewKey, ...] = ()
        """The animals, in order of their numbers; empty while their number is unknown."""
        self.reason = ""
        """Reason why the last value was unknown."""
        self.lasts = True
        """Whether what held before the last value still holds, or may hold on when it is known again."""
        self.ended = ""
        """Reason why it does not last."""

    def value(self, samples: Sequence[PoseSample], unusable: str | None) -> bool | None:
        """Evaluate the samples of a frame: true, false or None (unknown). Called once per frame, in order.

        Args:
            samples: One sample of each animal, in the order of ``views``.
            unusable: Reason why no rule may use the frame; None if there is none.
        """
        raise NotImplementedError

    @property
    def holders(self) -> tuple[str, ...]:
        """Names of the animals for which the condition holds; empty for one in a frame or region of its own."""
        raise NotImplementedError

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the animals that are unknown, as for ``holders``."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return what held, with the numbers of the last frame."""
        raise NotImplementedError

    def reset(self) -> None:
        """Clear the state from earlier frames."""
        raise NotImplementedError


class WatchOne(Watch):
    """One animal."""

    __slots__ = ("_condition", "_demands", "_names")

    def __init__(self, condition: Condition, demands: Demands, view: ViewKey, name: str | None = None) -> None:
        """Watch an animal.

        Args:
            condition: The condition.
            demands: What the rule demands of a pose.
            view: The animal.
            name: Its name, of several in one arena.
        """
        super().__init__()
        self._condition, self._demands = condition, demands
        self.views = (view,)
        self._names = () if name is None else (name,)

    def value(self, samples: Sequence[PoseSample], unusable: str | None) -> bool | None:
        """Evaluate the sample."""
        sample, condition = samples[0], self._condition
        if sample.exchangeable:
            condition.reset()
        objection = unusable or self._demands.objection(sample)
        answer = None if objection else condition.value(sample)
        if answer is None:
            self.reason = objection or condition.reason
        self.lasts = answer is not False and not sample.exchangeable
        if not self.lasts:
            self.ended = UNCERTAIN if sample.exchangeable else _OVER
        return answer

    @property
    def holders(self) -> tuple[str, ...]:
        """The name of the animal."""
        return self._names

    @property
    def unknown(self) -> tuple[str, ...]:
        """The name of the animal."""
        return self._names

    def describe(self) -> str:
        """Return what held."""
        return self._condition.describe()

    def reset(self) -> None:
        """Clear the condition."""
        self._condition.reset()


class WatchSeveral(Watch):
    """Any or all of several animals. What held lasts while it holds, or may hold, for

    * ``any``: an animal for which it held before. One that takes over begins anew.
    * ``all``: each animal.
    """

    __slots__ = ("_answers", "_conditions", "_demands", "_held", "_names", "_quantifier", "_reasons", "_unusable")

    def __init__(self, quantifier: Quantifier, demands: Demands) -> None:
        """Create a watch without animals.

        Args:
            quantifier: For how many animals the condition must hold.
            demands: What the rule demands of each pose.
        """
        super().__init__()
        self._quantifier, self._demands = quantifier, demands
        self._conditions: tuple[Condition, ...] = ()
        self._names: tuple[str, ...] = ()
        self._answers: list[bool | None] = []
        self._reasons: list[str] = []
        self._unusable = False
        """Whether the last frame could be used for no animal."""
        self._held: set[int] = set()
        """Animals (indices) for which it held last, and that have not ceased to since."""

    def follow(self, views: Sequence[ViewKey], names: Sequence[str], conditions: Sequence[Condition]) -> None:
        """Watch these animals from now on.

        Args:
            views: The animals.
            names: Their names.
            conditions: The condition of each.
        """
        self.views, self._names, self._conditions = tuple(views), tuple(names), tuple(conditions)
        self._held = set()

    def value(self, samples: Sequence[PoseSample], unusable: str | None) -> bool | None:
        """Evaluate each animal, and combine the answers."""
        self._unusable = unusable is not None
        self._answers, self._reasons = [], []
        self.ended = _OVER
        left = set(self._held)
        for index, (sample, condition) in enumerate(zip(samples, self._conditions, strict=True)):
            if sample.exchangeable:
                condition.reset()
                if index in left:
                    left.discard(index)
                    self.ended = f"{self._names[index]}: {UNCERTAIN}"
            objection = unusable or self._demands.objection(sample)
            answer = None if objection else condition.value(sample)
            if answer is False:
                left.discard(index)
            self._answers.append(answer)
            self._reasons.append(objection or condition.reason)
        value = self._any(left) if self._quantifier is Quantifier.ANY else self._all(left)
        if value is None:
            index = self._answers.index(None)
            self.reason = self._reasons[index] if self._unusable else f"{self._names[index]}: {self._reasons[index]}"
        return value

    def _any(self, left: set[int]) -> bool | None:
        """Return whether it holds for one; ``left`` are the animals for which it held and has not ceased to."""
        holding = {index for index, answer in enumerate(self._answers) if answer}
        if not holding:
            self._held, self.lasts = left, bool(left)
            return None if None in self._answers else False
        self.lasts = not left.isdisjoint(holding)
        self.ended = _TAKEN
        self._held = holding
        return True

    def _all(self, left: set[int]) -> bool | None:
        """Return whether it holds for each; ``left`` as for ``_any``."""
        self.lasts = len(left) == len(self._answers)
        self._held = left if self.lasts else set()
        if False in self._answers:
            return False
        if None in self._answers:
            return None
        self._held = set(range(len(self._answers)))
        return True

    @property
    def holders(self) -> tuple[str, ...]:
        """Names of the animals for which the condition holds."""
        return self._named(index for index, answer in enumerate(self._answers) if answer)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the animals that are unknown; empty if the frame could be used for none."""
        return () if self._unusable else self._named(i for i, answer in enumerate(self._answers) if answer is None)

    def describe(self) -> str:
        """Return what held for which animal."""
        held = (index for index, answer in enumerate(self._answers) if answer)
        return "; ".join(f"{self._names[index]}: {self._conditions[index].describe()}" for index in held)

    def reset(self) -> None:
        """Clear the conditions of all animals."""
        self._held = set()
        for condition in self._conditions:
            condition.reset()

    def _named(self, indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(self._names[index] for index in indices)
