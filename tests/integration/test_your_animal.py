"""A project from recordings to a live run, as the page "your animal in an afternoon" has it."""

from __future__ import annotations

import numpy as np
import pytest
from support.rats import NAMES, RatFilm, record_rats
from support.recordings import read_video

from realtime_cropzoom.sessions.dlc_csv import read_predictions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[RatFilm]:
    """Return recordings of three white rats on dark floors, in a folder with a space in its name."""
    return record_rats(tmp_path_factory.mktemp("rats") / "my recordings", 3, 8, size=(320, 240), fps=15)


def test_the_recordings_show_a_light_animal_at_the_truth(films: list[RatFilm]) -> None:
    for film in films:
        images, _ = read_video(film.video)
        assert len(images) == len(film.truth) == 120
        predictions = read_predictions(film.truth_csv)
        assert predictions.keypoint_names == NAMES
        np.testing.assert_allclose(predictions.xy, film.truth, atol=1e-3)
        for index in range(0, 120, 30):
            middle = 0.4 * film.truth[index, 0] + 0.6 * film.truth[index, 3]
            x, y = np.round(middle).astype(int)
            assert images[index][y, x].mean() > np.median(images[index]) + 80
