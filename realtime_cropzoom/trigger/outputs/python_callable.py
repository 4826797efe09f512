"""Python output: calls a function or an object of the experimenter, in the thread of the output."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from pydantic import Field

from realtime_cropzoom.clock import now_ns
from realtime_cropzoom.errors import SinkError
from realtime_cropzoom.trigger.outputs.base import Job, Output, OutputSettings, WriteResult


class PythonSettings(OutputSettings):
    """``mine: {python: "my_lab.outputs:fire"}``."""

    python: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """``module:function`` or ``module:Class``; the module may be in the working directory."""
    levels: bool = False
    """Whether a pulse comes as an on and an off instead of as one call."""

    def make(self, name: str, shared: dict[str, Any]) -> PythonCallable:
        """Return the output."""
        return PythonCallable(self.python, self.levels)


class PythonCallable(Output):
    """Calls ``target(job)``. A class is instantiated first; an object with ``close()`` is closed at the end."""

    def __init__(self, target: str, levels: bool) -> None:
        super().__init__()
        self.holds_level, self.supports_pulse = levels, not levels
        self._target = target
        self._call: Callable[[Job], Any] | None = None

    def open(self) -> None:
        """Import the target.

        Raises:
            SinkError: if that fails, or the target cannot be called.
        """
        module, _, name = self._target.partition(":")
        if os.getcwd() not in sys.path and "" not in sys.path:  # an installed command does not search it
            sys.path.append(os.getcwd())
        try:
            target = getattr(importlib.import_module(module), name)
            self._call = target() if isinstance(target, type) else target
        except Exception as error:  # any error of the module at import
            raise SinkError(f"cannot use {self._target}: {type(error).__name__}: {error}") from error
        if not callable(self._call):
            raise SinkError(f"{self._target} is a {type(self._call).__name__}; expected a function, or a class to call")

    def perform(self, job: Job) -> WriteResult:
        """Call the target: ``written`` is the time of the call, ``acknowledged`` the time of the return."""
        assert self._call is not None
        self.check(job)
        called_ns = now_ns()
        try:
            self._call(job)
        except Exception as error:  # an error of the target must not end the experiment
            return WriteResult(called_ns, None, f"{self._target} raised {type(error).__name__}: {error}")
        return WriteResult(called_ns, now_ns())

    def close(self) -> None:
        """Call ``close()`` of the target, if it has one."""
        close = getattr(self._call, "close", None)
        self._call = None
        if callable(close):
            close()
