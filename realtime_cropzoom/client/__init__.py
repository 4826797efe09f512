"""Client: receives the messages of a run in the script of an experiment.

In reading order:

* ``subscriber``: ``Subscriber``, for scripts that block while they wait.
* ``async_subscriber``: the same for asyncio.
* ``preview``: ``PreviewSubscriber``, for windows that show small pictures of the frames.
* ``base``: what both share: socket options, counters and the age of a pose.
* ``message_tracker``: decodes messages, counts gaps and keeps the last message of each camera.
* ``pose_rate``: the usual interval and age of poses, from which stale poses are recognised.
"""
