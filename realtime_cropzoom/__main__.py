"""Entry point of ``python -m realtime_cropzoom``, which does the same as the command ``cropzoom``."""

import sys

from realtime_cropzoom.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
