"""From pixels to centimetres: ``calibrate rectangle``, ``points``, ``scale`` and ``lens``."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from realtime_cropzoom.calibration.lens import Lens
from realtime_cropzoom.cli.common import add_overwrite, check_free, say_next
from realtime_cropzoom.cli.values import a_path, number, seconds, some_text
from realtime_cropzoom.errors import ConfigError, DataError
from realtime_cropzoom.sources.factory import open_source
from realtime_cropzoom.types import Float32, UInt8

if TYPE_CHECKING:
    from realtime_cropzoom.calibration.calibration import Calibration


_LOOKED_AT = 60
"""Frames of a recording that are looked at: more take minutes, and add nothing."""

_FEWEST = 5

Point = tuple[float, float]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"

_PAIR = re.compile(rf"({_NUMBER}),({_NUMBER})")

_SIDES = re.compile(rf"({_NUMBER})x({_NUMBER})")


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
    if not lens.undoes(*size):
        raise ConfigError("the lens folds the frame over at its edges; take more chessboards, near the edges too")
    return lens


def register(commands: Any) -> None:
    """Add the command to the parser."""
    calibrate = commands.add_parser("calibrate", help="make the file that turns pixels into cm")
    ways = calibrate.add_subparsers(required=True, metavar="WAY")

    rectangle = _way(ways, "rectangle", _rectangle, "from the four corners of a rectangle on the floor")
    rectangle.add_argument(
        "--corners", required=True, nargs=4, metavar="X,Y", help="in pixels, one after the other around"
    )
    rectangle.add_argument("--size-cm", required=True, metavar="WxH", help="first to second corner x second to third")

    points = _way(ways, "points", _points, "from known points on the floor, four or more")
    points.add_argument("--point", required=True, action="append", metavar="X,Y=CM,CM", help="one, in pixels and in cm")

    scale = _way(ways, "scale", _scale, "from one length, for a camera that looks straight down")
    length = scale.add_mutually_exclusive_group(required=True)
    length.add_argument("--px-per-cm", type=number(1e-6, 1e6, "pixels"), metavar="PX", help="pixels a cm")
    length.add_argument("--line", nargs=2, metavar="X,Y", help="two points in pixels, --length-cm from each other")
    scale.add_argument(
        "--length-cm",
        type=number(1e-6, 1e6, "cm"),
        metavar="CM",
        help="how far from each other the points of --line are",
    )
    scale.add_argument("--origin", default="0,0", metavar="X,Y", help="the pixel that is 0,0 in cm (default: 0,0)")

    lens = ways.add_parser("lens", help="from pictures of a chessboard: what the lens bends")
    lens.add_argument(
        "source", type=some_text, metavar="SOURCE", help="a video or a folder of images, the board all over the frame"
    )
    lens.add_argument("--board", required=True, metavar="NxM", help="inner corners along its sides, as in 9x6")
    lens.add_argument(
        "--out", type=a_path, required=True, metavar="YAML", help="the file, for --lens of the other ways"
    )
    add_overwrite(lens)
    lens.set_defaults(command=_lens)


def _way(ways: Any, name: str, command: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = ways.add_parser(name, help=what)
    parser.add_argument("source", type=some_text, metavar="SOURCE", help="what shows the arena, as it will be tracked")
    parser.add_argument(
        "--start-s", type=seconds, default=0.0, metavar="S", help="recordings: the frame to draw on (default: 0)"
    )
    parser.add_argument("--lens", type=a_path, metavar="YAML", help="what 'cropzoom calibrate lens' has made")
    parser.add_argument(
        "--out", type=a_path, required=True, metavar="YAML", help="the file; the picture goes beside it"
    )
    add_overwrite(parser)
    parser.set_defaults(command=command)
    return parser


def _rectangle(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.calibration.calibration import from_rectangle

    corners = [_point("--corners", text) for text in arguments.corners]
    width_cm, height_cm = _numbers(_SIDES, "--size-cm", arguments.size_cm, "a size such as 60x40")
    return _make(arguments, corners, lambda size, lens: from_rectangle(corners, width_cm, height_cm, size, lens))


def _points(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.calibration.calibration import from_points

    pairs = []
    for text in arguments.point:
        pixel, equals, known = text.partition("=")
        if not equals:
            raise ConfigError(f"--point: given {text!r}; expected pixels and cm, such as 102,88=0,0")
        pairs.append((_point("--point", pixel), _point("--point", known)))
    return _make(arguments, [pixel for pixel, _ in pairs], lambda size, lens: from_points(pairs, size, lens))


def _scale(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.calibration.calibration import from_scale

    origin, ends = _point("--origin", arguments.origin), [_point("--line", text) for text in arguments.line or ()]
    length_cm = 0.0 if arguments.length_cm is None else arguments.length_cm
    if (len(ends) > 0) != (length_cm > 0) or length_cm < 0:
        raise ConfigError("--line goes with --length-cm, a number above 0: how far its ends are from each other")

    def make(size: tuple[int, int], lens: Lens | None) -> Calibration:
        straight = ends if lens is None else [lens.undistort(x, y) for x, y in ends]
        px_per_cm = math.dist(*straight) / length_cm if straight else arguments.px_per_cm
        return from_scale(px_per_cm, size, lens, origin)

    return _make(arguments, ends or [origin], make)


def _make(
    arguments: argparse.Namespace,
    given: Sequence[Point],
    make: Callable[[tuple[int, int], Lens | None], Calibration],
) -> int:
    from realtime_cropzoom.calibration.calibration import calibration_yaml, read_lens
    from realtime_cropzoom.plots.calibration_picture import draw_grid
    from realtime_cropzoom.sources.first_frame import first_frame

    _check_out(arguments)
    image = first_frame(arguments.source, arguments.start_s)
    size = (image.shape[1], image.shape[0])
    lens: Lens | None = None
    if arguments.lens is not None:
        lens, lens_size = read_lens(arguments.lens)
        if lens_size != size:
            raise ConfigError(
                f"{arguments.lens} is for frames of {lens_size[0]}x{lens_size[1]}, but these have {size[0]}x{size[1]}"
            )
    calibration = make(size, lens)
    _write(arguments.out, calibration_yaml(calibration), draw_grid(image, calibration, given))
    px_per_cm = calibration.px_per_cm()
    beyond = math.isnan(px_per_cm)
    print(f"the middle of the frame is {'beyond the horizon' if beyond else f'at {px_per_cm:.2f} pixels a cm'}")
    if calibration.residual_cm is not None:
        print(f"the points are off by {calibration.residual_cm:.3g} cm (root mean square)")
    elif len(given) == 4:
        print("four points always fit: look whether the lines in the picture are right, or give more points")
    say_next("run", arguments.source, "--calibration", arguments.out)
    return 0


def _lens(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.calibration.calibration import lens_yaml
    from realtime_cropzoom.cli.calibrate import find_boards, fit_lens
    from realtime_cropzoom.plots.calibration_picture import draw_straightened
    from realtime_cropzoom.sources.first_frame import first_frame

    sides = _numbers(_SIDES, "--board", arguments.board, "inner corners such as 9x6")
    if not all(side.is_integer() and side > 2 for side in sides):
        raise ConfigError(f"--board: given {arguments.board!r}; expected two whole numbers above 2, such as 9x6")
    board = (int(sides[0]), int(sides[1]))
    _check_out(arguments)
    corners, size, looked_at = find_boards(arguments.source, board)
    lens = fit_lens(corners, board, size)
    _write(arguments.out, lens_yaml(lens, size), draw_straightened(first_frame(arguments.source), lens))
    print(f"the board was found in {len(corners)} of {looked_at} frames")
    print(f"its corners are off by {lens.residual_px:.2f} px (root mean square); above 1 px, take better pictures")
    say_next("calibrate", "rectangle", "SOURCE", "--lens", arguments.out, "--help")
    return 0


def _check_out(arguments: argparse.Namespace) -> None:
    """Raise ConfigError or SinkError where what is to be written cannot be, or is there already."""
    path: Path = arguments.out
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out: given {path}; expected a YAML file such as arena.yaml")
    check_free(path, path.with_suffix(".png"), overwrite=arguments.overwrite)


def _write(path: Path, text: str, picture: UInt8) -> None:
    from realtime_cropzoom.files.atomic import encode_image, write_all

    png = path.with_suffix(".png")
    write_all({path: text, png: encode_image(png, picture[:, :, ::-1])})
    print(f"{path}\n{png}")


def _point(flag: str, text: str) -> Point:
    return _numbers(_PAIR, flag, text, "two numbers such as 102,88.5")


def _numbers(pattern: re.Pattern[str], flag: str, text: str, expected: str) -> Point:
    match = pattern.fullmatch(text.replace(" ", ""))
    if match is None:
        raise ConfigError(f"{flag}: given {text!r}; expected {expected}")
    return float(match[1]), float(match[2])
