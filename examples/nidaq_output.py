"""A digital line of a National Instruments card as an output of ``cropzoom trigger``. **Untested**: no card was there.

The rules file, in the folder of this file:

    outputs:
      laser: {python: "nidaq_output:DigitalLine", levels: true}

This needs ``pip install nidaqmx`` and the driver of NI. With ``levels: true`` a pulse comes as an on and, ``ms``
later, an off. There is no watchdog: if the computer dies while the line is on, it stays on. So give a laser its
own interlock, or better use a trigger board.
"""

import nidaqmx

LINE = "Dev1/port0/line0"


class DigitalLine:
    """Created when the outputs are opened, called for each job, closed at the end. All calls come from one thread."""

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
