"""Project: the folder of a user's own animal, from the first frame to models that run.

In reading order:

* ``schema``: the content of ``project.yaml`` and its checks.
* ``folder``: the folder and its places; ``load_project``.
* ``in_use``: keeps two commands from changing the same part of a project at the same time.
* ``template``: a new project, with a comment about each key.
* ``edit``: changes one key of ``project.yaml``, and leaves the rest as it is.
"""
