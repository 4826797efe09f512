"""Desk for orders of the control socket: checks them, hands them to the rule loop, and answers with its state.

The answer comes when the loop has handled the order, and has the state after it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

from realtime_cropzoom.clock import now_s
from realtime_cropzoom.control.protocol import STATE, TRIGGER, OrderError, Origin, Request, unknown_order
from realtime_cropzoom.errors import CropzoomError
from realtime_cropzoom.trigger.engine.events import Order
from realtime_cropzoom.trigger.process.commands import CommandQueue, QueuedCommand, QueuedOrder, QueuedRules, Receipt
from realtime_cropzoom.trigger.process.feed import Feed
from realtime_cropzoom.trigger.process.rules_desk import RULES, ZONES, RulesDesk, ZonesValue
from realtime_cropzoom.trigger.rules.rules import Rules

_TAKE_TIMEOUT_S = 1.5
"""Timeout (s) for the rule loop to receive an order. It does so every 20 ms unless something delays it."""


class RuleLoop(Protocol):
    """What the desk asks the process. It calls this from the control thread."""

    orders: CommandQueue

    def refusal(self, order: Order, target: str | None) -> str | None:
        """Return what is wrong with an order, None if nothing is."""
        ...

    def check_new_rules(self, rules: Rules) -> None:
        """Check that rules fit the process. Raises ConfigError if not."""
        ...

    def needs_pose(self, advice: str) -> str | None:
        """Return why an order needs a pose to have come; None if one has."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state."""
        ...


class OrderDesk:
    """Obeys orders. ``close`` it before the socket."""

    def __init__(self, loop: RuleLoop, rules: RulesDesk, feed: Feed, folder: Path) -> None:
        """Create the desk.

        Args:
            loop: The process.
            rules: Desk for new rules.
            feed: Feed that shows each order.
            folder: Folder of the log.
        """
        self._loop, self._rules, self._feed, self._folder = loop, rules, feed, folder
        self._over = threading.Event()

    def obey(self, request: Request, origin: Origin) -> dict[str, Any]:
        """Return the state after an order; called by the control thread.

        Args:
            request: The order.
            origin: Who gave it.

        Raises:
            CropzoomError: if it is refused.
        """
        if request.order == STATE:
            return self._loop.state()
        try:
            more = self._give(request, str(origin))
        except CropzoomError as error:
            self._feed.add_order(request.order, request.target, str(origin), str(error))
            raise
        self._feed.add_order(request.order, request.target, str(origin), None)
        return self._loop.state() | more

    def close(self) -> None:
        """Let no sender wait any more."""
        self._over.set()

    def _give(self, request: Request, by: str) -> dict[str, Any]:
        if request.order in (RULES, ZONES):
            return self._give_rules(request, by)
        try:
            order = Order(request.order)
        except ValueError:
            raise unknown_order(request, TRIGGER) from None
        if problem := self._loop.refusal(order, request.target):
            raise OrderError(problem)
        self._wait_for(QueuedCommand(by, Receipt(), order, request.target))
        return {}

    def _give_rules(self, request: Request, by: str) -> dict[str, Any]:
        proposal, value = self._rules.propose(request, self._loop.check_new_rules)
        more: dict[str, Any] = {"changes": proposal.change.as_dict(), "dry": value.dry}
        if value.dry:
            return more
        if problem := self._loop.needs_pose("end 'cropzoom trigger' and start it with the new rules"):
            raise OrderError(problem)
        self._rules.accept(proposal, self._folder, save=isinstance(value, ZonesValue) and value.save)
        self._wait_for(QueuedRules(by, Receipt(), proposal))
        return more

    def _wait_for(self, asked: QueuedOrder) -> None:
        """Wait until the rule loop has received an order. Raises OrderError if it does not, or refuses it."""
        assert asked.receipt is not None
        if not self._loop.orders.put(asked):
            raise OrderError("too many orders wait")
        until_s = now_s() + _TAKE_TIMEOUT_S
        while not asked.receipt.taken.wait(0.05):
            if self._over.is_set():
                raise OrderError("the trigger process ends; the order was not taken")
            if now_s() >= until_s:
                raise OrderError(
                    f"the rule loop has not taken the order for {_TAKE_TIMEOUT_S:g} s; the order still waits"
                )
        if asked.receipt.problem is not None:
            raise OrderError(asked.receipt.problem)
