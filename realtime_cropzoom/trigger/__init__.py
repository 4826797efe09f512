"""The closed loop: rules on poses, and what they switch.

::

    Subscriber → events → engine → decisions ─┬→ log
                                              └→ outputs, each on its own thread → log

``engine`` is pure: the same events give the same decisions, live and replayed. ``rules`` reads
what the experimenter wrote, ``conditions``, ``zones`` and ``motion`` are what rules are made of,
``outputs`` is what can be switched.
"""

AUTO = "auto"
"""Where a trigger process takes orders by default: at a Unix socket of its own, which only its user can reach."""
