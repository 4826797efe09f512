"""Heatmaps → keypoints: Lightning Pose's recipe, written down twice more here, and the fast way held to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_cropzoom.inference.crop import Method
from realtime_cropzoom.inference.heatmaps import decode
from realtime_cropzoom.types import Keypoints

LEVELS = {1: 2, 2: 4, 3: 8}
"""Downsample factor → model pixels a cell."""


def gaussian(height: int, width: int, x: float, y: float, sigma: float = 1.25) -> np.ndarray:
    """A heatmap as a trained network gives it: a bump around cell (x, y), summing to 1."""
    rows, cols = np.mgrid[:height, :width]
    bump = np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.asarray(bump / bump.sum(), np.float32)


def stack(*maps: np.ndarray) -> np.ndarray:
    return np.stack(maps).astype(np.float32)


def rough(height: int, width: int, seed: int) -> np.ndarray:
    """Noise without any peak: what an untrained network gives."""
    values = np.random.default_rng(seed).random((height, width))
    return np.asarray(values / values.sum(), np.float32)


@pytest.mark.parametrize("method", ["fast", "reference"])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        pytest.param(20.0, 30.0, id="on a cell"),
        pytest.param(20.5, 30.5, id="between four cells"),
        pytest.param(20.25, 30.75, id="off the middle"),
        pytest.param(7.3, 9.9, id="not far from the border"),
    ],
)
def test_a_bump_is_found_where_it_was_put(x: float, y: float, levels: int, method: Method) -> None:
    found = decode(stack(gaussian(64, 48, x, y)), levels, method)
    # Three doublings move a cell by 3.5 px, and Lightning Pose takes 2.5 off again.
    too_far = 1 if levels == 3 else 0
    assert found.xy[0] - too_far == pytest.approx([LEVELS[levels] * x, LEVELS[levels] * y], abs=0.25)


@given(st.floats(6, 57), st.floats(6, 41))
def test_a_bump_anywhere_inside_is_found_within_a_fifth_of_a_pixel(x: float, y: float) -> None:
    found = decode(stack(gaussian(48, 64, x, y)), 2, "fast")
    assert found.xy[0] == pytest.approx([4 * x, 4 * y], abs=0.2)


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_a_sharp_bump_is_likely_and_a_flat_map_is_not(method: Method) -> None:
    found = decode(stack(gaussian(64, 64, 20, 30, sigma=0.7), np.full((64, 64), 1 / 4096)), 2, method)
    assert found.likelihood[0] > 0.9
    assert found.likelihood[1] < 0.01


_MAPS = [
    pytest.param(gaussian(64, 64, 20.3, 30.6, 0.5), id="sharper than a cell"),
    pytest.param(gaussian(64, 64, 20.3, 30.6), id="as trained"),
    pytest.param(gaussian(64, 64, 20.3, 30.6, 4.0), id="wide: mass beyond the window"),
    pytest.param(gaussian(64, 64, 20.3, 30.6, 12.0), id="very wide: mass everywhere"),
    pytest.param(np.full((64, 64), 1 / 4096, np.float32), id="flat"),
    pytest.param(np.zeros((64, 64), np.float32), id="all zero"),
    pytest.param((gaussian(64, 64, 10, 10) + gaussian(64, 64, 50, 40)) / 2, id="two equal peaks far apart"),
    pytest.param(0.502 * gaussian(64, 64, 10, 10) + 0.498 * gaussian(64, 64, 50, 40), id="two nearly equal peaks"),
    pytest.param(0.9 * gaussian(64, 64, 10, 10) + 0.1 * gaussian(64, 64, 50, 40), id="a second, much lower peak"),
    pytest.param((gaussian(64, 64, 30, 30) + gaussian(64, 64, 37, 30)) / 2, id="two peaks in and at the window"),
    pytest.param(
        (gaussian(64, 64, 30, 30, 0.4) + gaussian(64, 64, 35, 35, 0.4)) / 2, id="two sharp peaks, one in the margin"
    ),
    pytest.param((gaussian(64, 64, 30, 30, 0.4) + 3 * rough(64, 64, 1)) / 4, id="a spike on noise"),
    pytest.param(rough(64, 64, 2), id="noise alone"),
    pytest.param(gaussian(64, 64, 0, 0), id="peak in the near corner"),
    pytest.param(gaussian(64, 64, 63, 63), id="peak in the far corner"),
    pytest.param(gaussian(64, 64, 63, 20), id="peak at the right border"),
    pytest.param(gaussian(64, 64, 20, 2, 2.0), id="peak in the margin above"),
    pytest.param(gaussian(64, 64, -3, 20), id="bump whose middle is off the map"),
    pytest.param(gaussian(8, 8, 3.4, 4.1), id="8x8: smaller than the window"),
    pytest.param(gaussian(8, 40, 33.4, 4.1), id="a strip: one side smaller than the window"),
    pytest.param(gaussian(12, 12, 11, 0), id="exactly the window"),
    pytest.param(gaussian(13, 17, 8.2, 6.5), id="odd sides"),
    pytest.param(gaussian(4, 4, 1.2, 2.2, 0.7), id="4x4"),
    pytest.param(gaussian(96, 64, 50.5, 80.25), id="taller than wide"),
]


@pytest.mark.parametrize("heatmap", _MAPS)
def test_fast_is_reference_within_a_hundredth_of_a_pixel(heatmap: np.ndarray) -> None:
    fast, reference = decode(heatmap[None], 2, "fast"), decode(heatmap[None], 2, "reference")
    assert fast.xy == pytest.approx(reference.xy, abs=0.01)
    assert fast.likelihood == pytest.approx(reference.likelihood, abs=1e-3)


def test_fast_is_reference_where_a_lower_bump_outlasts_a_spike() -> None:
    """The filters leave 0.385 of a single bright cell and more of a bump: the highest cell is not where the mass is."""
    heatmap = np.asarray(0.7 * gaussian(48, 48, 10, 10, 0.8), np.float32)
    heatmap[35, 36] = 0.25
    fast, reference = decode(heatmap[None], 2, "fast"), decode(heatmap[None], 2, "reference")
    assert reference.xy[0] == pytest.approx([40, 40], abs=0.1)
    assert fast.xy == pytest.approx(reference.xy, abs=0.01)


bumps = st.lists(
    st.tuples(st.floats(-2, 50), st.floats(-2, 50), st.floats(0.4, 6), st.floats(0.05, 1)), min_size=1, max_size=3
)


# Keypoints within a thousandth of a pixel of a whole number, where the likelihood jumps.
@example(height=24, width=45, parts=[(22.249986766186698, 10.8, 2.8, 1.0)], floor=0.0, levels=1)  # 0.819, 0.885
@example(height=43, width=20, parts=[(9.874999043905516, 21.9, 2.4, 1.0)], floor=0.0, levels=2)  # 0.595, 0.641
@example(height=41, width=21, parts=[(10.374994329426041, 11.7, 2.1, 1.0)], floor=0.0, levels=2)  # 0.748, 0.813
@given(st.integers(4, 48), st.integers(4, 48), bumps, st.floats(0, 1), st.integers(1, 3))
def test_fast_is_reference_on_any_mixture_of_bumps(
    height: int, width: int, parts: list[tuple[float, float, float, float]], floor: float, levels: int
) -> None:
    rows, cols = np.mgrid[:height, :width]
    mixture = floor * rough(height, width, 3).astype(np.float64) + 1e-9
    for x, y, sigma, weight in parts:
        mixture += weight * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    assert_fast_is_reference(stack(mixture / mixture.sum()), levels)


def assert_fast_is_reference(maps: np.ndarray, levels: int = 2) -> None:
    fast, reference = decode(maps, levels, "fast"), decode(maps, levels, "reference")
    assert fast.xy == pytest.approx(reference.xy, abs=1e-3)
    assert fast.likelihood == pytest.approx(reference.likelihood, abs=1e-5)


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_keypoints_decoded_together_are_the_keypoints_decoded_alone(method: Method) -> None:
    """A difficult map beside an easy one must not change it."""
    maps = stack(gaussian(64, 64, 20.3, 30.6), rough(64, 64, 5), gaussian(64, 64, 1, 62), np.zeros((64, 64)))
    together = decode(maps, 2, method)
    alone = [decode(heatmap[None], 2, method) for heatmap in maps]
    assert together.xy == pytest.approx(np.concatenate([a.xy for a in alone]), abs=1e-4)
    assert together.likelihood == pytest.approx(np.concatenate([a.likelihood for a in alone]), abs=1e-6)


@pytest.mark.parametrize("method", ["fast", "reference"])
@pytest.mark.parametrize("heatmap", _MAPS)
def test_likelihood_lies_between_zero_and_one(heatmap: np.ndarray, method: Method) -> None:
    (likelihood,) = decode(heatmap[None], 2, method).likelihood
    assert 0 <= likelihood <= 1 + 1e-5  # a float32 sum of softmax values may pass 1 by its last bits


@pytest.mark.parametrize("method", ["fast", "reference"])
@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(np.full((16, 16), np.nan, np.float32), id="all NaN"),
        pytest.param(np.where(gaussian(16, 16, 8, 8) == 0, 0, np.nan).astype(np.float32), id="NaN at the peak"),
        pytest.param(np.pad(np.full((1, 1), np.nan, np.float32), (0, 47)), id="one NaN, far from anything"),
    ],
)
def test_a_map_with_nan_has_no_keypoint(spoilt: np.ndarray, method: Method) -> None:
    found = decode(spoilt[None], 2, method)
    assert np.isnan(found.xy).all()
    assert found.likelihood.tolist() == [0]


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_a_map_with_infinity_has_no_keypoint(method: Method) -> None:
    peak = np.pad(np.full((1, 1), 0.5, np.float32), (20, 27))
    far_from_it = np.pad(np.full((1, 1), -np.inf, np.float32), (0, 47))
    found = decode(stack(-far_from_it, np.full((48, 48), np.inf), peak + far_from_it), 2, method)
    assert np.isnan(found.xy).all()
    assert found.likelihood.tolist() == [0, 0, 0]


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_a_spoilt_map_does_not_spoil_its_neighbours(method: Method) -> None:
    found = decode(stack(gaussian(32, 32, 9, 9), np.full((32, 32), np.nan), gaussian(32, 32, 20, 20)), 2, method)
    assert found.xy[0] == pytest.approx([36, 36], abs=0.05)
    assert np.isnan(found.xy[1]).all()
    assert found.xy[2] == pytest.approx([80, 80], abs=0.05)


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_half_precision_maps_are_read_and_results_are_float32(method: Method) -> None:
    maps = stack(gaussian(32, 32, 9, 9))
    found = decode(maps.astype(np.float16), 2, method)
    assert found.xy.dtype == found.likelihood.dtype == np.float32
    assert found.xy == pytest.approx(decode(maps, 2, method).xy, abs=0.1)


@pytest.mark.parametrize("method", ["fast", "reference"])
def test_the_maps_are_left_as_they_are(method: Method) -> None:
    maps = stack(gaussian(32, 32, 9, 9), rough(32, 32, 1))
    before = maps.copy()
    decode(maps, 2, method)
    assert np.array_equal(maps, before)


def cubic(t: float) -> float:
    """Keys' kernel with a = −0.75."""
    t = abs(t)
    if t < 1:
        return 1.25 * t**3 - 2.25 * t**2 + 1
    return -0.75 * t**3 + 3.75 * t**2 - 6 * t + 3 if t < 2 else 0.0


def doubled_line(line: list[float]) -> list[float]:
    """Bicubic doubling with half-pixel centres and repeated ends, then (1 4 6 4 1) / 16 with zeros beyond."""
    n = len(line)
    fine = []
    for i in range(2 * n):
        at = (i + 0.5) / 2 - 0.5
        taps = range(math.floor(at) - 1, math.floor(at) + 3)
        fine.append(sum(cubic(at - tap) * line[min(max(tap, 0), n - 1)] for tap in taps))
    beyond = [0.0, 0.0, *fine, 0.0, 0.0]
    return [sum(w * beyond[i + j] for j, w in enumerate((1, 4, 6, 4, 1))) / 16 for i in range(2 * n)]


def slow_decode(heatmap: np.ndarray, levels: int) -> tuple[float, float, float]:
    """The recipe in plain loops and double precision, for one map: x, y, likelihood."""
    grid = [[float(v) for v in row] for row in heatmap]
    for _ in range(levels):
        grid = [doubled_line(row) for row in grid]
        grid = [list(row) for row in zip(*(doubled_line(list(col)) for col in zip(*grid, strict=True)), strict=True)]
    top = max(map(max, grid))
    soft = [[math.exp(1000 * (v - top)) for v in row] for row in grid]
    total = sum(map(sum, soft))
    x = sum(v * i for row in soft for i, v in enumerate(row)) / total
    y = sum(v * j for j, row in enumerate(soft) for v in row) / total
    near = [row[max(0, int(x) - 2) : int(x) + 3] for row in soft[max(0, int(y) - 2) : int(y) + 3]]
    offset = {1: 0.5, 2: 1.5, 3: 2.5}[levels]
    return x - offset, y - offset, sum(map(sum, near)) / total


_SLOW = [
    pytest.param(gaussian(24, 20, 9.3, 12.6), 2, id="as trained"),
    pytest.param(gaussian(24, 20, 9.3, 12.6, 5.0), 2, id="wide"),
    pytest.param(gaussian(20, 20, 0, 19), 2, id="in a corner"),
    pytest.param((gaussian(20, 24, 5, 5) + gaussian(20, 24, 18, 12)) / 2, 2, id="two peaks"),
    pytest.param(rough(20, 20, 7), 2, id="noise"),
    pytest.param(np.full((16, 16), 1 / 256, np.float32), 2, id="flat"),
    pytest.param(gaussian(8, 8, 3.2, 4.4), 2, id="tiny"),
    pytest.param(gaussian(20, 24, 9.3, 12.6), 1, id="one doubling"),
    pytest.param(gaussian(10, 12, 4.3, 5.6), 3, id="three doublings"),
]


@pytest.mark.parametrize("method", ["fast", "reference"])
@pytest.mark.parametrize(("heatmap", "levels"), _SLOW)
def test_both_agree_with_the_recipe_in_plain_loops(heatmap: np.ndarray, levels: int, method: Method) -> None:
    x, y, likelihood = slow_decode(heatmap, levels)
    found = decode(heatmap[None], levels, method)
    assert found.xy[0] == pytest.approx([x, y], abs=0.02)
    assert found.likelihood[0] == pytest.approx(likelihood, abs=1e-3)


def torch_decode(heatmap: np.ndarray, levels: int) -> Keypoints:
    """The recipe in torch's own operators."""
    import torch
    import torch.nn.functional as F

    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
    binomial = (line[:, None] * line[None] / 256)[None, None]
    maps = torch.from_numpy(heatmap)[None, None]
    for _ in range(levels):
        maps = F.interpolate(maps, scale_factor=2, mode="bicubic", align_corners=False)
        maps = F.conv2d(maps, binomial, padding=2)
    soft = torch.softmax((maps * 1000).flatten(), dim=0).reshape(maps.shape[2:])
    x = float((soft.sum(dim=0) * torch.arange(soft.shape[1])).sum())
    y = float((soft.sum(dim=1) * torch.arange(soft.shape[0])).sum())
    near = soft[max(0, int(y) - 2) : int(y) + 3, max(0, int(x) - 2) : int(x) + 3].sum()
    offset = {1: 0.5, 2: 1.5, 3: 2.5}[levels]
    return Keypoints(np.array([[x - offset, y - offset]], np.float32), np.array([float(near)], np.float32))


@pytest.mark.parametrize(
    ("heatmap", "levels"),
    [
        *_SLOW,
        pytest.param(gaussian(64, 64, 20.3, 30.6), 2, id="64x64"),
        pytest.param(gaussian(64, 64, 20.3, 30.6, 4.0), 2, id="64x64, wide"),
        pytest.param(gaussian(64, 64, 63, 1), 2, id="64x64, in a corner"),
    ],
)
def test_reference_is_torch_within_two_thousandths_of_a_pixel(heatmap: np.ndarray, levels: int) -> None:
    pytest.importorskip("torch", reason="torch is only there with the train extra")
    expected, found = torch_decode(heatmap, levels), decode(heatmap[None], levels, "reference")
    assert found.xy == pytest.approx(expected.xy, abs=2e-3)
    assert found.likelihood == pytest.approx(expected.likelihood, abs=1e-4)
