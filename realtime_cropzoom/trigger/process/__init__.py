"""The trigger process: the loop, its commands, its logs, and replays of them."""
