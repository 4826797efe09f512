"""What waits for a page is bounded, in order, and the newest of what describes a state."""

from __future__ import annotations

from realtime_cropzoom.view.page_queue import MAX_BATCHES, MAX_EVENTS, PageQueue
from realtime_cropzoom.view.protocol import Dropped, encode


def a_queue() -> tuple[PageQueue, list[int]]:
    woken: list[int] = []
    return PageQueue(lambda: woken.append(1)), woken


def test_messages_come_in_the_order_in_which_they_were_put() -> None:
    queue, woken = a_queue()
    queue.put_state("camera", "a")
    queue.put_batch("b")
    queue.put_event("c")
    assert queue.take() == (["a", "b", "c"], [])
    assert queue.take() == ([], [])
    assert len(woken) == 3


def test_only_the_newest_state_of_a_key_waits_and_it_takes_its_place_at_the_end() -> None:
    queue, _ = a_queue()
    for text in ("one", "two"):
        queue.put_state(("status", "cam0"), text)
        queue.put_batch(f"poses {text}")
    assert queue.take()[0] == ["poses one", "two", "poses two"]


def test_only_the_newest_picture_of_a_camera_waits() -> None:
    queue, _ = a_queue()
    for camera, picture in (("left", b"1"), ("right", b"2"), ("left", b"3")):
        queue.put_picture(camera, picture)
    assert sorted(queue.take()[1]) == [b"2", b"3"]


def test_the_oldest_batches_are_dropped_and_the_page_is_told_how_many() -> None:
    queue, _ = a_queue()
    for n in range(MAX_BATCHES + 5):
        queue.put_batch(str(n))
    texts, _ = queue.take()
    assert texts[-1] == str(MAX_BATCHES + 4)
    assert encode(Dropped(5)) in texts
    assert len(texts) == MAX_BATCHES + 1
    assert "4" not in texts


def test_events_are_bounded_apart_from_batches() -> None:
    queue, _ = a_queue()
    queue.put_batch("poses")
    for n in range(MAX_EVENTS + 3):
        queue.put_event(str(n))
    texts, _ = queue.take()
    assert len(texts) == MAX_EVENTS + 1
    assert texts[0] == "poses"
    assert texts[1] == "3"
    assert queue.dropped == 0
