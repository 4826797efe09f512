"""The settings of a run.

In reading order:

* ``settings``: the settings, their defaults and their checks.
* ``resolve``: combines flags, environment, file and defaults, in this order of precedence.
* ``overrides``: parses ``section.name=value``.
* ``multi_camera``: separates a file with several cameras into the settings of each camera.
* ``description``: the groups in the help texts, and the table in ``docs/reference/settings.md``.
"""
