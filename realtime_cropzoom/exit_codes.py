"""Exit codes of all commands, and of the processes of several cameras; docs/files.md explains them to users.

0 is done. A process that a signal has ended has 128 + its number.
"""

EXIT_BAD_INPUT = 2
"""Bad input, with one line that says what is wrong."""
EXIT_FAILED = EXIT_BAD_INPUT
"""It broke off; who looks at the code need not tell that from bad input."""
EXIT_INCOMPLETE = 3
"""It went to its end, but not all of it is there."""
