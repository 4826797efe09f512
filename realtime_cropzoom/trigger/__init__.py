"""Closed loop: rules on poses that switch outputs.

::

    Subscriber → events → engine → decisions ─┬→ log
                                              └→ outputs, one thread each → log

* ``rules`` reads and checks the rules file.
* ``engine`` evaluates rules. It is pure: the same events give the same decisions, live and replayed.
* ``outputs`` switches devices.
* ``process`` is the command ``cropzoom trigger``: it connects the others, takes commands, and writes the logs.
"""
