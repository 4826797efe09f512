"""Pictures of a chessboard → the lens that took them, through OpenCV."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from realtime_cropzoom.calibration.lens import Lens
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.types import Float32, UInt8

_LOOKED_AT = 60
"""Frames of a recording that are looked at: more take minutes, and add nothing."""
_FEWEST = 5


def find_boards(source: str, board: tuple[int, int]) -> tuple[list[Float32], tuple[int, int], int]:
    """Return the corners of each chessboard found, width and height of the frames, and how many were looked at.

    ``board``: inner corners along its two sides. Raises SourceError where ``source`` cannot be read.
    """
    opened, found, looked_at = open_source(source), [], 0
    try:
        info = opened.info
        every = max(1, (info.frame_count or 1) // _LOOKED_AT)
        image = np.empty((info.height, info.width, 3), np.uint8)
        for index, captured in enumerate(opened.frames()):
            if index % every == 0:
                captured.copy_to(image)
                looked_at += 1
                corners = find_board(image, board)
                found += [] if corners is None else [corners]
    finally:
        opened.close()
    return found, (info.width, info.height), looked_at


def find_board(image: UInt8, board: tuple[int, int]) -> Float32 | None:
    """Return the inner corners (n, 2) of a chessboard in an RGB image, None where there is none."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_FAST_CHECK
    there, corners = cv2.findChessboardCorners(gray, board, flags=flags)
    if not there:
        return None
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-3)
    refined = cv2.cornerSubPix(gray, np.asarray(corners, np.float32), (5, 5), (-1, -1), until)
    return np.asarray(refined, np.float32).reshape(-1, 2)


def fit_lens(corners: Sequence[Float32], board: tuple[int, int], size: tuple[int, int]) -> Lens:
    """Return the lens that bends the boards as they were seen.

    Raises DataError where there are too few of them, and ConfigError where the lens cannot be undone.
    """
    if len(corners) < _FEWEST:
        raise DataError(
            f"a board of {board[0]}x{board[1]} inner corners was found {len(corners)} times; expected at least "
            f"{_FEWEST}, tilted and all over the frame; count the corners where four squares meet"
        )
    flat = np.zeros((board[0] * board[1], 3), np.float32)
    flat[:, :2] = np.mgrid[0 : board[0], 0 : board[1]].T.reshape(-1, 2)
    unknown: tuple[np.ndarray, np.ndarray] = (np.eye(3), np.zeros(5))
    rms, camera, distortion, *_ = cv2.calibrateCamera([flat] * len(corners), list(corners), size, *unknown)
    k1, k2, p1, p2, k3 = np.asarray(distortion, np.float64).ravel()[:5].tolist()
    fx, fy, cx, cy = (float(camera[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    lens = Lens((fx, fy), (cx, cy), (k1, k2, p1, p2, k3), float(rms))
    if not lens.is_invertible(*size):
        raise ConfigError("the lens folds the frame over at its edges; take more chessboards, near the edges too")
    return lens
