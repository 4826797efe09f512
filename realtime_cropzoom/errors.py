"""Every error this package raises on purpose.

::

    CropzoomError
    ├── ConfigError      a setting is missing, misspelt or makes no sense
    ├── SourceError      a source cannot be opened, or broke while it was read
    ├── ModelError       a model cannot be used, or gave numbers that are none
    ├── ScheduleError    a box file cannot be replayed on these frames
    ├── DataError        training data or a table cannot be read
    ├── SinkError        an output cannot be opened, or failed while running
    ├── StageError       a stage ended by itself, or would not end
    └── StateError       a run was asked for what it cannot do before its start, or after its end

The text says what was given, what was expected and what to do, in one line: the
command line prints it as it is and exits with 2.
"""


class CropzoomError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(CropzoomError):
    """A setting is missing, misspelt or makes no sense."""


class SourceError(CropzoomError):
    """A source cannot be opened, or broke while it was read."""


class ModelError(CropzoomError):
    """A model cannot be used, or gave numbers that are none."""


class ScheduleError(CropzoomError):
    """A box file cannot be replayed on these frames."""


class DataError(CropzoomError):
    """Training data or a table cannot be read."""


class SinkError(CropzoomError):
    """An output cannot be opened, or failed while running."""


class StageError(CropzoomError):
    """A stage ended by itself, or would not end."""


class StateError(CropzoomError):
    """A run was asked for what it cannot do before its start, or after its end."""
