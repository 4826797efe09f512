"""How fast this machine is: ``cropzoom bench``, and what ``make bench`` (``scripts/bench.py``) shares with it.

* ``material``: frames in memory, videos of the arena, and a source that plays them.
* ``networks``: each network alone, with its input ready.
* ``live``: a run of the pipeline whose poses another process receives.
* ``others``: what other programs compute meanwhile.
* ``measure``: all measurements of ``cropzoom bench``, one after another.
* ``table``: their results as text, as a row for a table, and as JSON.
"""
