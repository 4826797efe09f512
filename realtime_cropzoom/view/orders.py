"""Orders from a page: hands them to the run or trigger process that they are for, as ``cropzoom ctl`` does."""

from __future__ import annotations

import logging

from realtime_cropzoom.control.address import control_folder, running_processes
from realtime_cropzoom.control.client import send
from realtime_cropzoom.errors import CropzoomError, quoted
from realtime_cropzoom.view.hub import Hub
from realtime_cropzoom.view.protocol import Answer, Order

BY = "page"
"""What the page calls itself, for the logs."""
_TIMEOUT_S = 3.0
logger = logging.getLogger(__name__)


def give(order: Order, hub: Hub) -> Answer:
    """Give an order, and return the answer for the page. It waits for the answer, 3 s at most.

    A refused order becomes an event, so that every page sees it; an obeyed one is an event of the program itself.
    """
    error, is_told = None, False
    try:
        answer = _given(order, hub)
        error = None if answer.pop("ok") else str(answer.pop("error", "refused"))
        is_told = hub.hears_trigger(order.to)  # its feed has the refusal, too
    except CropzoomError as refused:
        answer, error = {}, str(refused)
    except Exception:  # a fault of ours must not leave the page without an answer
        logger.exception("an order of a page failed")
        answer, error = {}, "the order failed in the server of the page; see its terminal"
    if error is None:
        return Answer(order.id, True, None, answer)
    if not is_told:
        hub.add_event("order_refused", f"{order.order} to {order.to}: {error}", by=BY)
    return Answer(order.id, False, error)


def _given(order: Order, hub: Hub) -> dict[str, object]:
    if not hub.orders:
        raise CropzoomError("this page only looks: its server takes no orders")
    target = running_processes(control_folder()).get(order.to)  # a page names a program, never an address
    if target is None:
        raise CropzoomError(f"no program called {quoted(order.to[:60])} takes orders")
    return send(target, order.order, order.target, order.value, by=BY, timeout_s=_TIMEOUT_S)
