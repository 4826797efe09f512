"""The cores that the models run on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from realtime_cropzoom.runtime.tuning import tuned


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
