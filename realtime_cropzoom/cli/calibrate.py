"""``cropzoom calibrate``: makes the file that converts pixels to cm, from a rectangle, points, a scale, or a lens."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_cropzoom.cli.common import add_overwrite, check_free, say_next
from realtime_cropzoom.cli.values import a_path, number, seconds, some_text
from realtime_cropzoom.errors import ConfigError

if TYPE_CHECKING:
    from realtime_cropzoom.calibration.calibration import Calibration
    from realtime_cropzoom.calibration.lens import Lens
    from realtime_cropzoom.types import UInt8

Point = tuple[float, float]
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)"
_PAIR = re.compile(rf"({_NUMBER}),({_NUMBER})")
_SIDES = re.compile(rf"({_NUMBER})x({_NUMBER})")


def register(commands: Any) -> None:
    """Add the command to the parser."""
    calibrate = commands.add_parser("calibrate", help="make the file that converts pixels to cm")
    ways = calibrate.add_subparsers(required=True, metavar="WAY")

    rectangle = _way(ways, "rectangle", _rectangle, "from the four corners of a rectangle on the floor")
    rectangle.add_argument(
        "--corners", required=True, nargs=4, metavar="X,Y", help="its corners in pixels, in order around it"
    )
    rectangle.add_argument("--size-cm", required=True, metavar="WxH", help="first to second corner x second to third")

    points = _way(ways, "points", _points, "from known points on the floor, four or more")
    points.add_argument(
        "--point",
        required=True,
        action="append",
        metavar="X,Y=CM,CM",
        help="one point, in pixels and cm",
    )

    scale = _way(ways, "scale", _scale, "from one length, for a camera that looks straight down")
    length = scale.add_mutually_exclusive_group(required=True)
    length.add_argument("--px-per-cm", type=number(1e-6, 1e6, "pixels"), metavar="PX", help="pixels per cm")
    length.add_argument("--line", nargs=2, metavar="X,Y", help="two points in pixels, --length-cm apart")
    scale.add_argument(
        "--length-cm",
        type=number(1e-6, 1e6, "cm"),
        metavar="CM",
        help="distance of the points of --line",
    )
    scale.add_argument("--origin", default="0,0", metavar="X,Y", help="pixel that is 0,0 in cm (default: 0,0)")

    lens = ways.add_parser("lens", help="the distortion of the lens, from pictures of a chessboard")
    lens.add_argument(
        "source", type=some_text, metavar="SOURCE", help="video or folder of images, with the board all over the frame"
    )
    lens.add_argument("--board", required=True, metavar="NxM", help="inner corners along its sides, such as 9x6")
    lens.add_argument(
        "--out", type=a_path, required=True, metavar="YAML", help="file to write, for --lens of the other ways"
    )
    add_overwrite(lens)
    lens.set_defaults(command=_lens)


def _way(ways: Any, name: str, command: Callable[[argparse.Namespace], int], what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = ways.add_parser(name, help=what)
    parser.add_argument("source", type=some_text, metavar="SOURCE", help="source that shows the arena as in the run")
    parser.add_argument(
        "--start-s",
        type=seconds,
        default=0.0,
        metavar="S",
        help="recordings: time of the drawn frame (default: 0)",
    )
    parser.add_argument("--lens", type=a_path, metavar="YAML", help="file made by 'cropzoom calibrate lens'")
    parser.add_argument(
        "--out", type=a_path, required=True, metavar="YAML", help="file to write; the picture is written next to it"
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
            raise ConfigError(f"--point: got {text!r}, expected pixels and cm, such as 102,88=0,0")
        pairs.append((_point("--point", pixel), _point("--point", known)))
    return _make(arguments, [pixel for pixel, _ in pairs], lambda size, lens: from_points(pairs, size, lens))


def _scale(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.calibration.calibration import from_scale

    origin, ends = _point("--origin", arguments.origin), [_point("--line", text) for text in arguments.line or ()]
    length_cm = 0.0 if arguments.length_cm is None else arguments.length_cm
    if (len(ends) > 0) != (length_cm > 0) or length_cm < 0:
        raise ConfigError("--line needs --length-cm, the distance of its ends, and --length-cm needs --line")

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
    from realtime_cropzoom.sources.first_frame import read_first_frame

    _check_out(arguments)
    image = read_first_frame(arguments.source, arguments.start_s)
    size = (image.shape[1], image.shape[0])
    lens: Lens | None = None
    if arguments.lens is not None:
        lens, lens_size = read_lens(arguments.lens)
        if lens_size != size:
            raise ConfigError(
                f"{arguments.lens}: got a lens for frames of {lens_size[0]}x{lens_size[1]}, "
                f"expected {size[0]}x{size[1]} as in {arguments.source}"
            )
    calibration = make(size, lens)
    _write(arguments.out, calibration_yaml(calibration), draw_grid(image, calibration, given))
    px_per_cm = calibration.px_per_cm()
    beyond = math.isnan(px_per_cm)
    print(f"middle of the frame: {'beyond the horizon' if beyond else f'{px_per_cm:.2f} pixels per cm'}")
    if calibration.residual_cm is not None:
        print(f"error of the points: {calibration.residual_cm:.3g} cm (root mean square)")
    elif len(given) == 4:
        print("four points always fit: check the lines in the picture, or give more points")
    say_next("run", arguments.source, "--calibration", arguments.out)
    return 0


def _lens(arguments: argparse.Namespace) -> int:
    from realtime_cropzoom.calibration.calibration import lens_yaml
    from realtime_cropzoom.cli.chessboard import find_boards, fit_lens
    from realtime_cropzoom.plots.calibration_picture import draw_straightened
    from realtime_cropzoom.sources.first_frame import read_first_frame

    sides = _numbers(_SIDES, "--board", arguments.board, "inner corners such as 9x6")
    if not all(side.is_integer() and side > 2 for side in sides):
        raise ConfigError(f"--board: got {arguments.board!r}, expected two whole numbers above 2, such as 9x6")
    board = (int(sides[0]), int(sides[1]))
    _check_out(arguments)
    corners, size, looked_at = find_boards(arguments.source, board)
    lens = fit_lens(corners, board, size)
    _write(arguments.out, lens_yaml(lens, size), draw_straightened(read_first_frame(arguments.source), lens))
    print(f"the board was found in {len(corners)} of {looked_at} frames")
    print(f"error of its corners: {lens.residual_px:.2f} px (root mean square); above 1 px, take better pictures")
    say_next("calibrate", "rectangle", "SOURCE", "--lens", arguments.out, "--help")
    return 0


def _check_out(arguments: argparse.Namespace) -> None:
    """Raise ConfigError if the name of the file is not YAML, SinkError if a file exists already."""
    path: Path = arguments.out
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out: got {path}, expected a YAML file such as arena.yaml")
    check_free(path, path.with_suffix(".png"), overwrite=arguments.overwrite)


def _write(path: Path, text: str, picture: UInt8) -> None:
    from realtime_cropzoom.files.atomic import write_all
    from realtime_cropzoom.files.atomic_images import encode_image

    png = path.with_suffix(".png")
    write_all({path: text, png: encode_image(png, picture[:, :, ::-1])})
    print(f"{path}\n{png}")


def _point(flag: str, text: str) -> Point:
    return _numbers(_PAIR, flag, text, "two numbers such as 102,88.5")


def _numbers(pattern: re.Pattern[str], flag: str, text: str, expected: str) -> Point:
    match = pattern.fullmatch(text.replace(" ", ""))
    if match is None:
        raise ConfigError(f"{flag}: got {text!r}, expected {expected}")
    return float(match[1]), float(match[2])
