"""One model, many frames: answered on all cores, handed back in order.

A core works on a frame from its pixels to its keypoints, with the model on one thread: that is
what the live stages do, so the numbers are theirs, whatever the number of cores.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from realtime_cropzoom.inference.boxes import whole_image
from realtime_cropzoom.inference.context_window import ContextWindow, InferenceRequest
from realtime_cropzoom.inference.crop import Edge, Resize
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.runtime.tuning import tuned
from realtime_cropzoom.types import Box, Float32, Keypoints, UInt8

T = TypeVar("T")


@contextmanager
def worker_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads, one a core. Left early, it drops what has not begun and waits for no one."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="cropzoom-worker")
    try:
        with tuned():
            yield pool
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


@dataclass(frozen=True, slots=True)
class InferenceAnswer(Generic[T]):
    """What the model makes of one frame."""

    key: T
    """What the frame was put in with."""
    keypoints: Keypoints
    """In the space of the box, that is, of the frame."""
    size: tuple[int, int]
    """(W, H) of the image."""


class Item(Generic[T]):
    """A frame on its way. Its pixels are let go as soon as the model's input is made of them."""

    def __init__(self, key: T, load: Callable[[], UInt8], box: Box | None) -> None:
        """``load`` gives the (H, W, 3) image, on whichever core works on it; no box is the whole image."""
        self.key = key
        self._load: Callable[[], UInt8] | None = load
        self._box = box
        self._lock = threading.Lock()
        self._prepared: tuple[Float32, Box] | None = None
        self.size = (0, 0)

    def prepared(self, model: Model, edge: Edge, resize: Resize) -> tuple[Float32, Box]:
        """Return the model's input and the box it really shows; a context model asks for it five times."""
        with self._lock:
            if self._prepared is None:
                assert self._load is not None
                image, self._load = self._load(), None
                self.size = (image.shape[1], image.shape[0])
                model_input = model.new_input()
                box = self._box or whole_image(image)
                self._prepared = model_input, model.prepare(image, box, edge, model_input, resize)
            return self._prepared


class OrderedInference(Generic[T]):
    """Frames in, answers out in the same order. Use it from one thread."""

    def __init__(
        self,
        model: Model,
        pool: ThreadPoolExecutor,
        workers: int,
        *,
        edge: Edge = "pad",
        resize: Resize = "linear",
        batch: int = 1,
        wanted: Callable[[T], bool] | None = None,
    ) -> None:
        """``batch`` frames go to the model at once, where its file takes batches.

        With ``wanted``, only the frames it says so of are asked about; a context model sees the others too.
        """
        self._model, self._pool = model, pool
        self._edge, self._resize = edge, resize
        self._batch = max(1, batch) if model.session.batch is None else 1
        self._limit = 2 * workers + 2
        self._wanted = wanted or (lambda _: True)
        self._window: ContextWindow[Item[T]] = ContextWindow(model.context_radius)
        self._asked: list[InferenceRequest[Item[T]]] = []
        self._passed_over: InferenceRequest[Item[T]] | None = None
        self._pending: deque[_Pending[T]] = deque()
        self._last: Keypoints | None = None

    def put(self, key: T, load: Callable[[], UInt8], box: Box | None = None) -> None:
        """Put in the next frame of a sequence."""
        question = self._window.push(Item(key, load, box))
        if question is not None:
            self._ask_if_wanted(question)

    def ask(self, question: InferenceRequest[Item[T]]) -> None:
        """Ask the model about frames that are no sequence: labelled images with their own context."""
        self._asked.append(question)
        if len(self._asked) == self._batch:
            self._submit()

    def end_sequence(self) -> None:
        """Say that the next frame does not follow on the last."""
        question, repeats = self._window.flush()
        repeats = tuple(item for item in repeats if self._wanted(item.key))
        if question is not None:
            self._ask_if_wanted(question)
        elif repeats and self._passed_over is not None:  # nobody wanted the answer that is now to be repeated
            question = self._passed_over
            self.ask(InferenceRequest(question.window, ()))
        self._submit()
        self._passed_over = None
        if repeats:
            self._pending.append(_Pending(None, (), repeats))

    def take(self) -> Iterator[InferenceAnswer[T]]:
        """Yield the answers that are there; wait for some where too many frames are on their way."""
        while self._pending and (self._pending[0].is_done() or len(self._pending) > self._limit):
            yield from self._next()

    def finish(self) -> Iterator[InferenceAnswer[T]]:
        """End the sequence and yield all answers that are left."""
        self.end_sequence()
        while self._pending:
            yield from self._next()

    def _ask_if_wanted(self, question: InferenceRequest[Item[T]]) -> None:
        answers = tuple(item for item in question.answers if self._wanted(item.key))
        self._passed_over = None if answers else question
        if answers:
            self.ask(InferenceRequest(question.window, answers))

    def _submit(self) -> None:
        if self._asked:
            questions, self._asked = self._asked, []
            self._pending.append(_Pending(self._pool.submit(self._answer, questions), questions, ()))

    def _answer(self, questions: Sequence[InferenceRequest[Item[T]]]) -> list[Keypoints]:
        windows = [[self._prepare(item)[0] for item in question.window] for question in questions]
        outputs = self._model.infer_many(windows)
        boxes = [self._prepare(question.middle)[1] for question in questions]
        return [self._model.decode(output, box) for output, box in zip(outputs, boxes, strict=True)]

    def _prepare(self, item: Item[T]) -> tuple[Float32, Box]:
        return item.prepared(self._model, self._edge, self._resize)

    def _next(self) -> Iterator[InferenceAnswer[T]]:
        pending = self._pending.popleft()
        if pending.future is not None:
            for question, keypoints in zip(pending.questions, pending.future.result(), strict=True):
                self._last = keypoints
                for item in question.answers:
                    yield InferenceAnswer(item.key, keypoints, item.size)
        for item in pending.repeats:
            assert self._last is not None
            yield InferenceAnswer(item.key, self._last, item.size)


@dataclass(frozen=True, slots=True)
class _Pending(Generic[T]):
    """Questions on their way, or frames that repeat the last answer."""

    future: Future[list[Keypoints]] | None
    questions: Sequence[InferenceRequest[Item[T]]]
    repeats: tuple[Item[T], ...]

    def is_done(self) -> bool:
        return self.future is None or self.future.done()
