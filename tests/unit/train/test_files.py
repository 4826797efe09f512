"""The curves of a training, as they are drawn."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: training needs the train extra")

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from realtime_cropzoom.train.files import _draw_curves


@pytest.mark.parametrize("count", [1, 2, 3, 14, 90])
@pytest.mark.parametrize("best", ["first", "last"])
def test_epochs_are_whole_numbers_and_the_label_of_the_best_stays_inside_the_frame(count: int, best: str) -> None:
    errors = [30.0 / (i + 1) if best == "last" else 30.0 + i for i in range(count)]
    table = pd.DataFrame({"epoch": range(1, count + 1), "loss": [0.5] * count, "held_out_px": errors})
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    _draw_curves(axes, table)
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib does not say what it draws with
    canvas.draw()
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    (text,) = figure.axes[1].texts
    drawn, frame = text.get_window_extent(canvas.get_renderer()), axes.get_window_extent()
    assert frame.x0 <= drawn.x0
    assert drawn.x1 <= frame.x1
    assert text.get_text().endswith("px")
