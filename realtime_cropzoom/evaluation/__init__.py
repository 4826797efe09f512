"""Evaluation: how good a project's models are on frames that they have not seen, as a report to read in two minutes.

In reading order:

* ``truth``: which labelled frames are judged.
* ``still``: what the models find in them.
* ``results``, ``measures``, ``judgement``: the numbers.
* ``findings``, ``what_to_label``: what they mean, in sentences.
* ``report``, ``page``, ``svg``, ``worst``: the report, its style, its charts and its pictures.
* ``session``, ``session_findings``: a session, with and without labels.
* ``evaluate``, ``files``: the whole evaluation of a project, and what it writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_cropzoom.evaluation.evaluate import (
        evaluate_labels,
        evaluate_models,
        evaluate_project,
        evaluate_session,
    )
    from realtime_cropzoom.evaluation.files import EvaluationSummary

__all__ = ["EvaluationSummary", "evaluate_labels", "evaluate_models", "evaluate_project", "evaluate_session"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from realtime_cropzoom.evaluation import evaluate

    return getattr(evaluate, name)
