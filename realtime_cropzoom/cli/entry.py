"""Entry point of ``cropzoom`` and ``python -m realtime_cropzoom``. Ctrl-C ends them without a traceback at any time."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Python's handler prints a traceback. Until our handler is installed, nothing is open: ending at once is safe.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run the command of the command line and return its exit code."""
    from realtime_cropzoom.runtime.signals import Terminated, interrupts, signals_held_back

    try:
        with interrupts():
            with signals_held_back():
                from realtime_cropzoom.cli.main import main as run
            return run()
    except KeyboardInterrupt as stopped:
        from realtime_cropzoom.cli import terminal

        terminal.say("cropzoom: stopped")
        terminal.finish()
        return 128 + (stopped.number if isinstance(stopped, Terminated) else signal.SIGINT)
