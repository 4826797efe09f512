"""Take the pictures of the tutorial "your animal in an afternoon" from what ``rat_afternoon.py`` has left.

    python scripts/animal_pictures.py FOLDER

FOLDER is its ``--out``. It needs the extras dev and browser, and Chromium, and writes ``docs/pictures/animal_*``:
photographs as JPEG, which shows a dark floor without steps, and charts as PNG.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import chromium  # noqa: E402

from realtime_cropzoom.plots.contact_sheet import TILE_PX  # noqa: E402
from realtime_cropzoom.plots.overlay import legend_strip  # noqa: E402
from realtime_cropzoom.project.folder import load_project  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH = 960
"""Width of the pictures in pixels."""
QUALITY = 85
"""Of a JPEG, with the colours of every pixel: text and dots have thin edges."""
CHART_COLOURS = 128
ROWS = (0, 3, 7)
"""Rows of a contact sheet that are shown: they are of several recordings."""
GAP_PX, LINE_PX = 4, 15
"""Of a contact sheet: space between tiles, and height of a line of text."""


def save_photo(image: Image.Image, name: str) -> None:
    """Save a picture of animals."""
    path = PICTURES / f"animal_{name}.jpg"
    _scaled(image).save(path, quality=QUALITY, subsampling=0, optimize=True, progressive=True)
    _say(path)


def save_chart(image: Image.Image, name: str) -> None:
    """Save a picture of lines and text, with few colours, so that the file is small."""
    path = PICTURES / f"animal_{name}.png"
    few = _scaled(image).quantize(CHART_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    _say(path)


def _scaled(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)


def _say(path: Path) -> None:
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def some_rows(path: Path, columns: int, tile_height: int, names: tuple[str, ...] = ()) -> Image.Image:
    """Return some rows of a contact sheet, its first columns, and the legend that it ends with.

    Args:
        path: The sheet.
        columns: Number of columns.
        tile_height: Height of the picture of a tile (pixels).
        names: Names of the keypoints in the legend; empty for none.
    """
    sheet, step = np.asarray(Image.open(path).convert("RGB")), tile_height + LINE_PX + GAP_PX
    width = columns * (TILE_PX + GAP_PX) + GAP_PX
    rows = [sheet[GAP_PX + row * step : GAP_PX + (row + 1) * step, :width] for row in ROWS]
    legend = [legend_strip(width, names, 1.5)] if names else []
    return Image.fromarray(np.vstack([sheet[:GAP_PX, :width], *rows, *legend]))


def main() -> int:
    """Take all pictures."""
    folder = Path(sys.argv[1])
    project = load_project(folder / "rat_arena")
    save_photo(some_rows(next(project.frames_folder.glob("*_round1.png")), 6, 180), "frames")
    save_photo(some_rows(project.labels_folder / "contact_sheet.png", 5, TILE_PX, project.keypoints), "labels")
    save_chart(Image.open(project.models_folder / "curves.png"), "curves")
    with chromium.browser() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 375})
        page.goto((project.evaluation_folder / "report.html").as_uri())
        save_chart(Image.open(io.BytesIO(page.screenshot())), "report")
    (session,) = (folder / "sessions" / "rat1").iterdir()
    save_photo(Image.open(session / "frames.png"), "tracked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
