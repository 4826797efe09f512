"""Take the pictures of the page for the documentation: ``page_pictures.py``, with the synthetic arena in a Chromium.

It needs the extras dev and browser, and Chromium; it takes some minutes and writes ``docs/pictures/view_*.png``.
``page_pictures.py animals boxes`` takes these two alone.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support import chromium  # noqa: E402
from support.browser import Pages, Rig, has_tracked, rig_in, until, write_rules  # noqa: E402
from support.dark_animals import write_dark_animals  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
COLOURS = 256
WIDE = {"width": 1280, "height": 720}
HIGH = {"width": 1280, "height": 800}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SUBJECTS = "window.cropzoom.page.camera().subjects"
HISTORY = "window.cropzoom.store.cameras.get('cam0').history"


def save(page: Any, name: str) -> None:
    """Save what a page shows, with few colours, so that the file is small."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = PICTURES / f"view_{name}.png"
    image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def live(rig: Rig, pages: Pages) -> None:
    """Take the pictures of one run with its rules: light, dark, phone, zones, and lost."""
    rig.run("--record", "h264")
    rig.trigger(write_rules(rig.folder), "--endpoint", rig.endpoint())
    _, url = rig.view()
    page = pages.open(url, color_scheme="light", viewport=WIDE)
    until(page, f"window.cropzoom?.store.cameras.size && {HISTORY}.newest?.frame > 400")
    rig.order("rules", "arm")
    rig.order("run-cam0", "marker", value="odour on")
    until(page, "document.getElementById('events').textContent.includes('odour on')")
    for name, options in (("light", {}), ("dark", {"color_scheme": "dark"}), ("phone", PHONE)):
        other = pages.open(url, **{"color_scheme": "light", "viewport": WIDE, **options})
        has_tracked(other)
        until(other, "document.getElementById('armed-word').textContent === 'ARMED'")
        save(other, name)
    page.click("#zones-open")
    page.wait_for_selector("#zone-list [data-zone]")
    save(page, "zones")
    page.keyboard.press("Escape")
    rig.order("run-cam0", "set", "pose_min_likelihood", 1)
    until(page, "document.querySelector('.state-word').textContent === 'Lost'")
    save(page, "lost")


def several(rig: Rig, pages: Pages) -> None:
    """Take the picture of two cameras; the shipped models do not know the white animal of one."""
    rig.run("--camera", "left", source="synthetic:arena,fps=15,seconds=endless")
    rig.run("--camera", "right", source="synthetic:arena,fps=15,seed=3,coat=200,floor=205,seconds=endless")
    page = pages.open(rig.view()[1], color_scheme="dark", viewport={"width": 1280, "height": 560})
    has_tracked(page, "left")
    until(page, "window.cropzoom.shown('right')?.pictureFrame > 100")
    save(page, "two_cameras")


def animals(rig: Rig, pages: Pages) -> None:
    """Take the picture of two animals that meet."""
    detector = write_dark_animals(rig.folder / "dark_animals.onnx")
    source = "synthetic:arena,animals=2,fps=15,seconds=endless,seed=8"
    rig.run("--animals", 2, "--detector", detector, "--crop-size", 240, source=source)
    page = pages.open(rig.view()[1], color_scheme="light", viewport=HIGH)
    both = "one => one.uncertain && one.history.newest.box"
    until(page, f"window.cropzoom?.shown()?.poseFrame > 60 && {SUBJECTS}.every({both})")
    page.keyboard.press("Space")
    until(page, "[...document.querySelectorAll('.animal-mark')].every(mark => mark.textContent === 'uncertain')")
    save(page, "animals")


def boxes(rig: Rig, pages: Pages) -> None:
    """Take the picture of eight boxes, one of them empty."""
    layout = rig.folder / "boxes.yaml"
    source = "synthetic:arena,boxes=8,empty=1,size=1280x480,fps=10,seconds=endless"
    rig.start("zones", layout, source, "--regions", "--grid", "4x2").process.wait()
    rig.run("--regions", layout, "--crop-size", 120, source=source)
    page = pages.open(rig.view()[1], color_scheme="dark", viewport=HIGH)
    tracked = f"{SUBJECTS}.filter(one => one.state === 'tracking').length === 7"
    until(page, f"window.cropzoom?.shown()?.poseFrame > 100 && {tracked}")
    has_tracked(page)
    save(page, "boxes")


PICTURES_OF = {"one": live, "two": several, "animals": animals, "boxes": boxes}


def main() -> int:
    """Take all pictures, or those that the arguments name."""
    chosen = sys.argv[1:] or [*PICTURES_OF]
    with tempfile.TemporaryDirectory() as folder, chromium.browser() as browser:
        pages = Pages(browser)
        for name in chosen:
            own = Path(folder) / name
            own.mkdir()
            with rig_in(lambda own=own: own) as rig:  # type: ignore[misc]
                PICTURES_OF[name](rig, pages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
