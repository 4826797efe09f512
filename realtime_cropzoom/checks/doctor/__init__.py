"""``cropzoom doctor``: why is the animal not found? It looks at frames of a source, and tries what helps.

In reading order:

* ``samples``: frames that are spread over a source. ``session``: those of a session, and what its files say.
* ``movement``, ``quality``: what moves, and how good the pictures are, without a model.
* ``experiments``: the frames in which nothing is found, changed in one way each.
* ``facts``, ``measure``: all numbers of a source.
* ``causes``: what they mean, in plain words, with the limits. ``sizes``: no size against a measured length.
* ``report``, ``sheet``: the lines and the picture. ``doctor``: does all of it.
"""
