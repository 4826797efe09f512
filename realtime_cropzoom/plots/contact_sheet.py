"""Contact sheet: many small pictures on one, with captions, keypoints and boxes, to look at in one glance."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from realtime_cropzoom.plots.overlay import draw_bone, draw_box, draw_keypoint, legend_strip, palette
from realtime_cropzoom.types import Box, Float32, Float64, UInt8

_DARK, _LIGHT = 28, (235, 235, 235)
_FONT, _FONT_SCALE, _LINE_PX, _GAP_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.38, 15, 4
_RADIUS_PX = 3
"""Radius of a keypoint."""
TILE_PX = 240


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """One picture of a sheet."""

    image: UInt8
    """(H, W, 3) RGB."""
    caption: str = ""
    """Text below the picture. A line that is too long loses its middle."""
    xy: Float32 | Float64 | None = None
    """(K, 2) keypoints, pixels of ``image``; NaN for one that is not drawn. Keypoint k has colour k of ``palette``."""
    others: Float32 | Float64 | None = None
    """(K, 2) keypoints to compare with, drawn as rings of the same colours."""
    skeleton: Sequence[tuple[int, int]] = ()
    """Pairs of keypoints of ``xy`` that a line joins."""
    box: Box | None = None
    """Region that the tile shows, pixels of ``image``; None for all of it. It may extend beyond the image."""
    marked: Box | None = None
    """Box to draw, pixels of ``image``."""


def contact_sheet(
    tiles: Sequence[Tile], columns: int | None = None, tile_px: int = TILE_PX, names: Sequence[str] = ()
) -> UInt8:
    """Return a sheet with one tile for each picture, row by row.

    Args:
        tiles: The pictures, at least one.
        columns: Number of tiles beside each other; None for about as many as rows.
        tile_px: Width of a tile (pixels).
        names: Names of the keypoints, for a legend below the tiles; empty for none.

    Returns:
        The sheet, (H, W, 3) RGB.

    Raises:
        ValueError: if there is no tile.
    """
    if not tiles:
        raise ValueError("a contact sheet needs a tile")
    columns = min(columns or math.ceil(math.sqrt(len(tiles))), len(tiles))
    regions = [_region(tile) for tile in tiles]
    height = round(tile_px * min(1.0, max(region.h / region.w for region in regions)))
    lines = max(len(tile.caption.splitlines()) for tile in tiles)
    step_x, step_y = tile_px + _GAP_PX, height + lines * _LINE_PX + _GAP_PX
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * step_y + _GAP_PX, columns * step_x + _GAP_PX, 3), _DARK, np.uint8)
    for i, (tile, region) in enumerate(zip(tiles, regions, strict=True)):
        x, y = _GAP_PX + i % columns * step_x, _GAP_PX + i // columns * step_y
        sheet[y : y + height, x : x + tile_px] = _drawn(tile, region, tile_px, height)
        for k, line in enumerate(tile.caption.splitlines()):
            _write(sheet, line, (x + 2, y + height + (k + 1) * _LINE_PX - 4), tile_px - 4)
    return np.vstack([sheet, legend_strip(sheet.shape[1], names)]) if names else sheet


def _region(tile: Tile) -> Box:
    """Return the region that a tile shows, in whole pixels."""
    if tile.box is None:
        return Box(0, 0, tile.image.shape[1], tile.image.shape[0])
    left, top, right, bottom = tile.box.pixels()
    return Box(left, top, right - left, bottom - top)


def _drawn(tile: Tile, region: Box, width: int, height: int) -> UInt8:
    """Return the picture of a tile, (height, width, 3): its region as large as it fits, in the middle."""
    scale = min(width / region.w, height / region.h)
    w, h = min(width, max(1, round(region.w * scale))), min(height, max(1, round(region.h * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = np.asarray(cv2.resize(_cut(tile.image, region), (w, h), interpolation=how), np.uint8)
    _draw_marks(picture, tile, region, scale)
    canvas = np.full((height, width, 3), _DARK, np.uint8)
    x, y = (width - w) // 2, (height - h) // 2
    canvas[y : y + h, x : x + w] = picture
    return canvas


def _cut(image: UInt8, region: Box) -> UInt8:
    """Return a region, dark outside of the image."""
    left, top, right, bottom = region.pixels()
    height, width = image.shape[:2]
    cut = np.full((region.h, region.w, 3), _DARK, np.uint8)
    inside = image[max(0, top) : max(0, min(bottom, height)), max(0, left) : max(0, min(right, width))]
    y, x = max(0, -top), max(0, -left)
    cut[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return cut


def _draw_marks(picture: UInt8, tile: Tile, region: Box, scale: float) -> None:
    """Draw box, skeleton and keypoints into the picture of a region, which is ``scale`` times as large."""
    if tile.marked is not None:
        box = tile.marked
        draw_box(picture, Box(box.x - region.x, box.y - region.y, box.w, box.h), scale, line_px=1)
    corner = np.array([region.x, region.y], np.float64)
    if tile.others is not None:
        _draw_keypoints(picture, (tile.others - corner + 0.5) * scale - 0.5, sure=False)
    if tile.xy is not None:
        xy = (tile.xy - corner + 0.5) * scale - 0.5
        _draw_skeleton(picture, xy, tile.skeleton)
        _draw_keypoints(picture, xy, sure=True)


def _draw_skeleton(picture: UInt8, xy: Float64, skeleton: Sequence[tuple[int, int]]) -> None:
    for a, b in skeleton:
        if np.isfinite(xy[[a, b]]).all():
            draw_bone(picture, (xy[a, 0], xy[a, 1]), (xy[b, 0], xy[b, 1]))


def _draw_keypoints(picture: UInt8, xy: Float64, *, sure: bool) -> None:
    for (x, y), colour in zip(xy, palette(len(xy)), strict=True):
        if np.isfinite([x, y]).all():
            draw_keypoint(picture, (float(x), float(y)), _RADIUS_PX if sure else _RADIUS_PX + 2, colour, sure=sure)


def _write(sheet: UInt8, text: str, place: tuple[int, int], room_px: int) -> None:
    """Write a line, without its middle if it is too long."""
    plain = _ascii(text)
    shown, kept = plain, len(plain)
    while kept > 2 and cv2.getTextSize(shown, _FONT, _FONT_SCALE, 1)[0][0] > room_px:
        kept -= 1
        shown = f"{plain[: kept // 2]}..{plain[len(plain) - (kept - kept // 2) :]}"
    cv2.putText(sheet, shown, place, _FONT, _FONT_SCALE, _LIGHT, 1, cv2.LINE_AA)


def _ascii(text: str) -> str:
    """Return a text in the letters that OpenCV has: without accents, and ? for others."""
    plain = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(plain).encode("ascii", "replace").decode()
