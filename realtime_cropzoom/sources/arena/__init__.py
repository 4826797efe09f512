"""The synthetic arena: a rendered mouse with exact keypoints.

In reading order:

* ``source``: the source of frames, with the keypoints of each frame.
* ``motion``: the path of the mouse.
* ``posture``: its proportions, posture and keypoints at one moment.
* ``drawing``: draws the mouse in a posture.
* ``painting``: paints the floor, the walls and the sprites of the mouse.
"""
