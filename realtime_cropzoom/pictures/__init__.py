"""Pictures: frames as the decoder gives them, of which only the region that a model sees becomes RGB.

In reading order:

* ``turn``: rotation and mirroring for display.
* ``planes``: where the pixels of a region are in the memory of a frame.
* ``regions``: converts a region alone, after a check that this gives the pixels of the whole frame's conversion.
* ``yuv``: converts single pixels, and resizes a region of which it converts only these.
* ``decoded``: a decoded frame as a picture that is kept by reference.
* ``small``: frames scaled down for people to look at.
"""
