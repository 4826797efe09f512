"""Check that the encoder keeps up with a camera, and measure how many bytes per second go to the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from realtime_cropzoom.checks.models import CheckedModels
from realtime_cropzoom.checks.result import CheckResult, bad, good
from realtime_cropzoom.clock import now_s
from realtime_cropzoom.config.group import COPY, NONE
from realtime_cropzoom.errors import ConfigError, SinkError
from realtime_cropzoom.sinks.recorder import check_copy
from realtime_cropzoom.sinks.video_encoder import Codec, VideoEncoder, video_suffix
from realtime_cropzoom.types import UInt8

_ROW_BYTES, _KEYPOINT_BYTES = 200, 60
"""Bytes of the rows of one animal in one frame in the three tables, and extra bytes per keypoint."""
_MAX_SHARE = 0.9
"""Maximum share of the time between two frames for the encoder."""
_FPS = 30.0


def check_recording(models: CheckedModels) -> tuple[CheckResult | None, float | None]:
    """Measure the recording of a camera.

    Args:
        models: The loaded models and the frames of one camera. The time of the recording is added to it.

    Returns:
        A line (None without a recording or frames), and the bytes per second (None if unknown).
    """
    pose = models.loaded.get("pose")
    rows = models.poses_per_frame * (_ROW_BYTES + _KEYPOINT_BYTES * (len(pose.keypoint_names) if pose else 0))
    recorded, line = 0.0, None
    if models.settings.record != NONE or models.settings.record_crops:
        if not models.measured.samples:
            return None, None
        line, recorded = _check_recorder(models)
    return line, None if models.fps is None else models.fps * (rows + recorded)


def _check_recorder(models: CheckedModels) -> tuple[CheckResult, float]:
    """Return the result, and the bytes per frame."""
    settings, measured = models.settings, models.measured
    if settings.record != COPY or measured.info is None:
        return _check_encoding(models)
    try:
        check_copy(settings, measured.info)
    except ConfigError as error:
        return bad("recording", str(error)), 0.0
    copied = measured.coded_bytes
    if settings.record_crops:
        line, crop_bytes = _check_encoding(models)
        return line, copied + crop_bytes
    text = f"compressed frames are copied: {copied / 1e3:.0f} kB per frame"
    return good("recording", text, frame_bytes=round(copied)), copied


def _check_encoding(models: CheckedModels) -> tuple[CheckResult, float]:
    """Return the result, and the bytes per frame, of frames or crops that are encoded."""
    settings, images = models.settings, models.measured.samples
    codec: Codec = "ffv1" if settings.record == "ffv1" else "h264"
    try:
        ms, frame_bytes = _time_encoder(images, codec)
    except SinkError as error:
        return bad("recording", f"{error}; leave out --record, or install an FFmpeg that has the encoder"), 0.0
    height, width = images[0].shape[:2]
    pose = models.loaded.get("pose")
    crop_share = pose.size[0] * pose.size[1] / (width * height) if pose and settings.record_crops else 0.0
    frame_share = 0.0 if settings.record in (NONE, COPY) else 1.0
    models.record_ms = ms * (crop_share + frame_share)
    # Frames and crops are encoded in two threads: the slower one limits the rate, and the file sizes add up.
    ms, frame_bytes = max(ms * crop_share, ms * frame_share), frame_bytes * (crop_share + frame_share)
    what = " and ".join(w for w, on in (("frames", frame_share), ("crops", crop_share)) if on)
    text = f"{what} as {codec}: {ms:.1f} ms and {frame_bytes / 1e3:.0f} kB per frame"
    if models.fps is not None and ms > _MAX_SHARE * 1000 / models.fps:
        cheaper = "a smaller camera_size or a lower frame rate"
        advice = f"record h264, or set {cheaper}" if codec != "h264" else f"set {cheaper}"
        return bad("recording", f"{text}, too slow for {models.fps:.4g} frames per second; {advice}"), frame_bytes
    return good("recording", text, ms=round(ms, 3), frame_bytes=round(frame_bytes)), frame_bytes


def _time_encoder(images: list[UInt8], codec: Codec) -> tuple[float, float]:
    """Encode ``images`` into a temporary file; return ms and bytes per frame. Raises SinkError."""
    height, width = images[0].shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"check{video_suffix(codec)}"
        encoder = VideoEncoder(path, (width, height), _FPS, codec)
        times_ms = []
        for index, image in enumerate(images):
            began = now_s()
            frame = encoder.convert(image)
            if frame is not None:
                encoder.write(frame, round(index * 1e9 / _FPS))
            times_ms.append((now_s() - began) * 1e3)
        encoder.close()
        if encoder.error is not None:
            raise SinkError(f"cannot encode {codec}: {encoder.error}")
        return median(times_ms), path.stat().st_size / len(images)
