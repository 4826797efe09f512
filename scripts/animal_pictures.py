"""Take the pictures of the tutorial "your animal in an afternoon" from what ``rat_afternoon.py`` has left.

    python scripts/animal_pictures.py FOLDER

FOLDER is its ``--out``. It needs the extras dev and browser, and Chromium, and writes ``docs/pictures/animal_*.png``.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import chromium  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
COLOURS = 200
WIDTH = 960
"""Width of the pictures in pixels."""
SHEET_ROWS = 3
"""Rows of a contact sheet that are shown."""


def save(image: Image.Image, name: str) -> None:
    """Save a picture, with few colours, so that the file is small."""
    image = image.convert("RGB")
    image = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    path = PICTURES / f"animal_{name}.png"
    image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def part(path: Path, columns: int, row_px: int) -> Image.Image:
    """Return the first tiles of a contact sheet: that many columns of 244 pixels, and ``SHEET_ROWS`` rows."""
    return Image.open(path).crop((0, 0, 4 + columns * 244, SHEET_ROWS * row_px))


def main() -> int:
    """Take all pictures."""
    folder = Path(sys.argv[1])
    project = folder / "rat_arena"
    save(part(project / "frames" / "contact_sheet_round1.png", 7, 199), "frames")
    save(part(project / "labels" / "contact_sheet.png", 6, 259), "labels")
    save(Image.open(project / "models" / "curves.png"), "curves")
    with chromium.browser() as browser:
        page = browser.new_page(viewport={"width": 1000, "height": 400})
        page.goto((project / "evaluation" / "report.html").resolve().as_uri())
        save(Image.open(io.BytesIO(page.screenshot())), "report")
    (session,) = (folder / "sessions" / "rat1").iterdir()
    save(Image.open(session / "frames.png"), "tracked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
