"""Check that the encoder keeps up with a camera, and measure how many bytes per second go to the disk."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from realtime_cropzoom.checks.models import CheckedModels
from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.config.group import COPY, NONE
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.sinks.recorder import check_copy
from realtime_cropzoom.sinks.video_encoder import Codec, VideoEncoder, video_suffix
from realtime_cropzoom.types import UInt8

_ROW_BYTES, _KEYPOINT_BYTES = 200, 60
"""Size of the rows of one frame in the three tables, and the part of each keypoint."""
_ROOM = 0.9
_FPS = 30.0


def check_recording(models: CheckedModels) -> tuple[CheckResult | None, float | None]:
    """Measure the recording of a camera.

    Args:
        models: The loaded models and the frames of one camera. The time of the recording is added to it.

    Returns:
        A line (None without a recording or frames), and the bytes per second (None if unknown).
    """
    pose = models.loaded.get("pose")
    rows = _ROW_BYTES + _KEYPOINT_BYTES * (len(pose.keypoint_names) if pose else 0)
    recorded, line = 0.0, None
    if models.settings.record != NONE or models.settings.record_crops:
        if not models.measured.samples:
            return None, None
        line, recorded = _record(models)
    return line, None if models.fps is None else models.fps * (rows + recorded)


def _record(models: CheckedModels) -> tuple[CheckResult, float]:
    """Return the line, and the bytes per frame."""
    settings, measured = models.settings, models.measured
    if settings.record != COPY or measured.info is None:
        return _encoded(models)
    try:
        check_copy(settings, measured.info)
    except ConfigError as error:
        return bad("recording", str(error)), 0.0
    copied = measured.coded_bytes
    if settings.record_crops:
        line, of_crops = _encoded(models)
        return line, copied + of_crops
    text = f"compressed frames are copied: {copied / 1e3:.0f} kB per frame"
    return good("recording", text, frame_bytes=round(copied)), copied


def _encoded(models: CheckedModels) -> tuple[CheckResult, float]:
    """Return the line, and the bytes per frame, of frames or crops that are encoded."""
    settings, images = models.settings, models.measured.samples
    codec: Codec = "ffv1" if settings.record == "ffv1" else "h264"
    try:
        ms, frame_bytes = _encode(images, codec)
    except SinkError as error:
        return bad("recording", f"{error}; set record to none, or install an FFmpeg that has the encoder"), 0.0
    height, width = images[0].shape[:2]
    pose = models.loaded.get("pose")
    of_crop = pose.size[0] * pose.size[1] / (width * height) if pose and settings.record_crops else 0.0
    of_frame = 0.0 if settings.record in (NONE, COPY) else 1.0
    models.record_ms = ms * (of_crop + of_frame)
    ms, frame_bytes = max(ms * of_crop, ms * of_frame), frame_bytes * (of_crop + of_frame)
    what = " and ".join(w for w, on in (("frames", of_frame), ("crops", of_crop)) if on)
    text = f"{what} as {codec}: {ms:.1f} ms and {frame_bytes / 1e3:.0f} kB per frame"
    if models.fps is not None and ms > _ROOM * 1000 / models.fps:
        less = "a smaller camera_size or a lower frame rate"
        advice = f"record h264, or take {less}" if codec != "h264" else f"take {less}"
        return bad("recording", f"{text}, too slow for {models.fps:.4g} frames per second; {advice}"), frame_bytes
    return good("recording", text, ms=round(ms, 3), frame_bytes=round(frame_bytes)), frame_bytes


def _encode(images: list[UInt8], codec: Codec) -> tuple[float, float]:
    """Encode ``images`` into a temporary file; return ms and bytes per frame. Raises SinkError."""
    height, width = images[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"check{video_suffix(codec)}"
        encoder = VideoEncoder(path, (width, height), _FPS, codec)
        times_ms = []
        for index, image in enumerate(images):
            began = time.perf_counter()
            frame = encoder.convert(image)
            if frame is not None:
                encoder.write(frame, round(index * 1e9 / _FPS))
            times_ms.append((time.perf_counter() - began) * 1e3)
        encoder.close()
        if encoder.error is not None:
            raise SinkError(f"cannot encode {codec}: {encoder.error}")
        return median(times_ms), path.stat().st_size / len(images)
