"""A second import: what is new, what has changed, what stays. No label is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realtime_cropzoom.labelling.merging import SAME_PX, merge

OLD = {"a": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.array([[5.0, 6.0], [7.0, 8.0]])}


def test_what_is_new_moved_the_same_and_kept_is_told_apart() -> None:
    imported = {
        "a": np.array([[1.0, 2.004], [3.0, 4.0]]),  # as another program rounds it
        "b": np.array([[5.0, 6.0], [10.0, 12.0]]),
        "c": np.array([[1.0, 1.0], [np.nan, np.nan]]),
    }
    merged = merge({**OLD, "d": OLD["a"]}, imported)
    assert (merged.new, merged.same, merged.kept) == (("c",), ("a",), ("d",))
    assert merged.moved_px == {"b": 5.0}
    assert merged.mean_move_px == 5.0
    assert merged.labels["a"] is not imported["a"]
    assert np.array_equal(merged.labels["a"], OLD["a"])
    assert np.array_equal(merged.labels["b"], imported["b"])


def test_a_label_that_the_import_lacks_stays_unless_it_is_to_go() -> None:
    imported = {"a": np.array([[np.nan, np.nan], [3.0, 4.0]])}
    kept = merge(OLD, imported)
    assert kept.absent == {"a": (0,)}
    assert np.array_equal(kept.labels["a"], OLD["a"])
    gone = merge(OLD, imported, remove=True)
    assert np.isnan(gone.labels["a"][0]).all()
    assert gone.moved_px == {"a": 0.0}
    assert set(gone.labels) == {"a", "b"}


def test_a_label_that_comes_is_a_change() -> None:
    merged = merge({"a": np.array([[1.0, 2.0], [np.nan, np.nan]])}, {"a": OLD["a"]})
    assert merged.moved_px == {"a": 0.0}
    assert np.array_equal(merged.labels["a"], OLD["a"])


numbers = st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6))
tables = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.tuples(numbers, numbers), min_size=2, max_size=2).map(
        lambda rows: np.array([row if np.isfinite(row).all() else (np.nan, np.nan) for row in rows])
    ),
)


@given(tables, tables)
def test_no_label_is_lost_and_a_second_time_changes_nothing(old: Any, imported: Any) -> None:
    old = {image: xy for image, xy in old.items() if np.isfinite(xy).any()}
    imported = {image: xy for image, xy in imported.items() if np.isfinite(xy).any()}
    merged = merge(old, imported)
    for image in {*old, *imported}:
        for k in range(2):
            labels = [t[image][k] for t in (old, imported) if image in t and np.isfinite(t[image][k]).all()]
            assert np.isfinite(merged.labels[image][k]).all() == bool(labels)
            if labels:
                assert np.hypot(*(merged.labels[image][k] - labels[-1])) <= SAME_PX
    again = merge(merged.labels, imported)
    assert not again.new
    assert not again.moved_px
    assert all(np.array_equal(again.labels[i], merged.labels[i], equal_nan=True) for i in merged.labels)
