"""A digital line of a National Instruments card as an output of ``cropzoom trigger``. Untested: we have no card.

In the rules file, in the folder where this file lies:

    outputs:
      laser: {python: "nidaq_output:DigitalLine", levels: true}

needs ``pip install nidaqmx`` and NI's driver. With ``levels: true`` a pulse comes as an on and, ``ms``
later, an off. The card has no watchdog here: if the computer dies while the line is on, it stays on,
so that a laser should have an interlock of its own, or better a trigger board.
"""

import nidaqmx

LINE = "Dev1/port0/line0"


class DigitalLine:
    """Made when the outputs are opened, called for each job, closed at the end, all in one thread."""

    def __init__(self) -> None:
        self._task = nidaqmx.Task()
        self._task.do_channels.add_do_chan(LINE)
        self._task.write(False)

    def __call__(self, job) -> None:
        """Switch the line; ``job.act`` is on, off or safe."""
        self._task.write(job.act == "on")

    def close(self) -> None:
        """Leave the line off."""
        self._task.write(False)
        self._task.close()
