"""The synthetic arena: a rendered mouse or rat with exact keypoints.

In reading order:

* ``source``: the source of frames, with the keypoints of each frame.
* ``boxes``: several arenas in one frame.
* ``motion``: the path of the animal; ``jumps``: one that jumps between two places.
* ``build``: its proportions; ``posture``: its posture and keypoints at one moment.
* ``drawing``: draws the animal in a posture; ``cable``: head stage and cable.
* ``appearance``: colours and light.
* ``floor``: paints floor, bedding and walls; ``objects``: things on it; ``painting``: paints the sprites of the animal.
* ``camera_angle``: the perspective of a tilted camera.
"""
