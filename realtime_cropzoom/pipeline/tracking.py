"""``track``: runs the pipeline inside a script, which iterates over the poses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from realtime_cropzoom.config.group import NONE
from realtime_cropzoom.config.resolve import load_settings
from realtime_cropzoom.messaging.message import PoseMessage
from realtime_cropzoom.pipeline.pipeline import Pipeline


def track(source: str | Path | None = None, *, config: Path | None = None, **settings: Any) -> Iterator[PoseMessage]:
    """Track a source and yield one message per processed frame.

    A recording is played in real time, as by a camera, and frames are skipped if the machine does not keep up.
    ``pace="fast"`` processes every frame. Files are written as by ``cropzoom run``; nothing is published, and
    no orders are taken, unless ``publish`` and ``control`` say where. The run ends when the stream or the loop ends.

    Args:
        source: A video file, a camera or stream, or ``synthetic:arena``; None to read it from ``config``.
        config: A YAML file with settings.
        **settings: The settings of ``docs/reference/settings.md``; they override those of ``config``.

    Yields:
        The message of each processed frame, in the order of capture.

    Raises:
        CropzoomError: if the run cannot start, as ``Pipeline.start`` says, or if an error ends it early.
    """
    flags: dict[str, Any] = {"publish": NONE, "control": NONE, **settings}
    if source is not None:
        flags["source"] = str(source)
    pipeline = Pipeline(load_settings(flags, config))
    pipeline.start(tracked=True)
    try:
        yield from pipeline.messages()
    except BaseException:  # break, an error or Ctrl-C in the caller's loop; a source may be endless
        pipeline.stop()
        raise
    finally:
        pipeline.join()
