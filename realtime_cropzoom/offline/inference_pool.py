"""Inference pool: runs one model on all cores, and returns the keypoints in the order of the frames.

Each core processes a frame from its pixels to its keypoints, with the model on one thread. The live stages do
the same, so the numbers do not depend on the number of cores.
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
from realtime_cropzoom.inference.geometries.view import View
from realtime_cropzoom.inference.model import Model
from realtime_cropzoom.runtime.tuning import tuned
from realtime_cropzoom.types import Box, Float32, Keypoints, Picture

T = TypeVar("T")


def decoded(image: Picture) -> Callable[[], Picture]:
    """Return the ``load`` of an item for an image that need not be loaded."""
    return lambda: image


@contextmanager
def worker_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of ``workers`` threads. After an error it cancels what has not begun, and does not wait for the rest."""
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
    """The keypoints of one frame."""

    key: T
    """The key that the frame was put in with."""
    keypoints: Keypoints
    """In frame pixels."""
    size: tuple[int, int]
    """(W, H) of the image (pixels)."""


class Item(Generic[T]):
    """A frame in work. Its pixels are freed as soon as the model input is ready."""

    def __init__(self, key: T, load: Callable[[], Picture], box: Box | None) -> None:
        """Take a frame.

        Args:
            key: Identifies the frame in its answer.
            load: Returns the image. The pool calls it, once.
            box: The box to crop (frame pixels); None for the whole image.
        """
        self.key = key
        self._load: Callable[[], Picture] | None = load
        self._box = box
        self._lock = threading.Lock()
        self._prepared: tuple[Float32, View] | None = None
        self.size = (0, 0)

    def prepared(self, model: Model, edge: Edge, resize: Resize) -> tuple[Float32, View]:
        """Return the model input, and where it lies in the frame. A context model asks for each frame five times."""
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
    """Takes frames and returns answers in the same order. Use it from one thread."""

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
        """Set up the inference.

        Args:
            model: The model.
            pool: Runs the model.
            workers: Number of threads of the pool; limits the frames in work.
            edge: What a crop shows beyond the frame, see ``crop.cut``.
            resize: Interpolation of the crop.
            batch: Number of frames that the model gets at once, if its file accepts batches.
            wanted: Whether the frame of a key needs an answer; None answers all. A context model also sees the
                other frames.
        """
        self._model, self._pool = model, pool
        self._edge, self._resize = edge, resize
        self._batch = max(1, batch) if model.session.batch is None else 1
        self._limit = 2 * workers + 2
        self._wanted = wanted or (lambda _: True)
        self._window: ContextWindow[Item[T]] = ContextWindow(model.context_radius)
        self._batched: list[InferenceRequest[Item[T]]] = []
        self._unwanted: InferenceRequest[Item[T]] | None = None
        self._pending: deque[_Pending[T]] = deque()
        self._last: Keypoints | None = None

    def put(self, key: T, load: Callable[[], Picture], box: Box | None = None) -> None:
        """Add the next frame of a sequence; the arguments are the fields of ``Item``."""
        request = self._window.push(Item(key, load, box))
        if request is not None:
            self._request_if_wanted(request)

    def ask(self, request: InferenceRequest[Item[T]]) -> None:
        """Add a request that is not part of a sequence: a labelled image with its own context."""
        self._batched.append(request)
        if len(self._batched) == self._batch:
            self._submit()

    def end_sequence(self) -> None:
        """End the sequence: the next frame does not follow the last one."""
        request, repeats = self._window.flush()
        repeats = tuple(item for item in repeats if self._wanted(item.key))
        if request is not None:
            self._request_if_wanted(request)
        elif repeats and self._unwanted is not None:  # the answer to repeat was not computed yet
            request = self._unwanted
            self.ask(InferenceRequest(request.window, ()))
        self._submit()
        self._unwanted = None
        if repeats:
            self._pending.append(_Pending(None, (), repeats))

    def take(self) -> Iterator[InferenceAnswer[T]]:
        """Yield the finished answers. Wait for the next one if too many frames are in work."""
        while self._pending and (self._pending[0].is_done() or len(self._pending) > self._limit):
            yield from self._next()

    def finish(self) -> Iterator[InferenceAnswer[T]]:
        """End the sequence and yield all remaining answers."""
        self.end_sequence()
        while self._pending:
            yield from self._next()

    def _request_if_wanted(self, request: InferenceRequest[Item[T]]) -> None:
        answers = tuple(item for item in request.answers if self._wanted(item.key))
        self._unwanted = None if answers else request
        if answers:
            self.ask(InferenceRequest(request.window, answers))

    def _submit(self) -> None:
        if self._batched:
            requests, self._batched = self._batched, []
            self._pending.append(_Pending(self._pool.submit(self._answer, requests), requests, ()))

    def _answer(self, requests: Sequence[InferenceRequest[Item[T]]]) -> list[Keypoints]:
        windows = [[self._prepare(item)[0] for item in request.window] for request in requests]
        outputs = self._model.infer_many(windows)
        views = [self._prepare(request.middle)[1] for request in requests]
        return [self._model.decode(output, view) for output, view in zip(outputs, views, strict=True)]

    def _prepare(self, item: Item[T]) -> tuple[Float32, View]:
        return item.prepared(self._model, self._edge, self._resize)

    def _next(self) -> Iterator[InferenceAnswer[T]]:
        pending = self._pending.popleft()
        if pending.future is not None:
            for request, keypoints in zip(pending.requests, pending.future.result(), strict=True):
                self._last = keypoints
                for item in request.answers:
                    yield InferenceAnswer(item.key, keypoints, item.size)
        for item in pending.repeats:
            assert self._last is not None
            yield InferenceAnswer(item.key, self._last, item.size)


@dataclass(frozen=True, slots=True)
class _Pending(Generic[T]):
    """Requests in work, or frames that repeat the last answer."""

    future: Future[list[Keypoints]] | None
    requests: Sequence[InferenceRequest[Item[T]]]
    repeats: tuple[Item[T], ...]

    def is_done(self) -> bool:
        return self.future is None or self.future.done()
