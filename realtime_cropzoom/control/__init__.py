"""Control: orders to a program that runs, from the terminal, from a page or from a script.

In reading order:

* ``protocol``: the request, its limits, and who gave it.
* ``address``: where a program takes orders, so that only its own user or the holder of a key can reach it.
* ``server``: the thread that receives orders and answers them.
* ``client``: finds the program for an order and gives it.
"""

AUTO = "auto"
"""Default of ``--control`` and ``--to``: a Unix socket that only its user can reach."""
