"""The closed loop: rules on poses, and what they switch.

::

    Subscriber → events → engine → decisions ─┬→ log
                                              └→ outputs, each on its own thread → log

``engine`` is pure: the same events give the same decisions, live and replayed. ``rules`` reads
what the experimenter wrote, ``conditions``, ``zones`` and ``motion`` are what rules are made of,
``outputs`` is what can be switched.
"""

DEFAULT_CONTROL = "tcp://127.0.0.1:5690"
"""Where a trigger process takes orders; away from the ports that several cameras count on from 5660."""
