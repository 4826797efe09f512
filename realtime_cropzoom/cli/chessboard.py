"""Lens calibration: pictures of a chessboard → distortion of the lens, with OpenCV."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from realtime_cropzoom.calibration.lens import Lens
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.types import Float32, UInt8

_MAX_SEARCHED = 60
"""Maximum number of frames that are searched. More take minutes and do not improve the result."""
_MIN_BOARDS = 5


def find_boards(source: str, board: tuple[int, int]) -> tuple[list[Float32], tuple[int, int], int]:
    """Search the frames of a source for a chessboard.

    Args:
        source: A video or a folder of images.
        board: Number of inner corners along the two sides of the board.

    Returns:
        The corners (n, 2) of each board found (frame pixels), width and height of the frames, and the number of frames
        that were searched.

    Raises:
        SourceError: if the source cannot be read.
    """
    opened, found, searched = open_source(source), [], 0
    try:
        info = opened.info
        every = max(1, (info.frame_count or 1) // _MAX_SEARCHED)
        image = np.empty((info.height, info.width, 3), np.uint8)
        for index, captured in enumerate(opened.frames()):
            if index % every == 0:
                captured.copy_to(image)
                searched += 1
                corners = find_board(image, board)
                found += [] if corners is None else [corners]
    finally:
        opened.close()
    return found, (info.width, info.height), searched


def find_board(image: UInt8, board: tuple[int, int]) -> Float32 | None:
    """Return the inner corners (n, 2) of a chessboard in an RGB image (H, W, 3); None if there is no board."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_FAST_CHECK
    there, corners = cv2.findChessboardCorners(gray, board, flags=flags)
    if not there:
        return None
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-3)
    refined = cv2.cornerSubPix(gray, np.asarray(corners, np.float32), (5, 5), (-1, -1), until)
    return np.asarray(refined, np.float32).reshape(-1, 2)


def fit_lens(corners: Sequence[Float32], board: tuple[int, int], size: tuple[int, int]) -> Lens:
    """Fit a lens to the boards.

    Args:
        corners: Corners of each board, of ``find_boards``.
        board: Number of inner corners along the two sides of the board.
        size: Width, height of the frames (px).

    Raises:
        DataError: if there are fewer than five boards.
        ConfigError: if the distortion cannot be inverted in the whole frame.
    """
    if len(corners) < _MIN_BOARDS:
        raise DataError(
            f"a board of {board[0]}x{board[1]} inner corners was found {len(corners)} times; expected at least "
            f"{_MIN_BOARDS}, tilted and all over the frame; count the corners where four squares meet"
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
