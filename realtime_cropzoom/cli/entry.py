"""Where ``cropzoom`` and ``python -m realtime_cropzoom`` begin: Ctrl-C ends them in order from the first import on."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until the handlers are there nothing has begun that would need an end in order; Python's own handler
    # would print a traceback.
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
