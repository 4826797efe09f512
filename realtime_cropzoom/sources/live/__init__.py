"""Live sources: cameras of the operating system and network streams, which do not wait for a slow reader.

In reading order:

* ``live_video``: the source that cameras and streams share: yields frames as they arrive, through PyAV.
* ``stream_decoder``: opens a camera or stream and yields its intact frames.
* ``camera``, ``v4l2``: cameras of the operating system, and what Linux reports about them.
* ``stream``: RTSP, MJPEG, UDP, SRT and other streams that FFmpeg opens.
* ``reconnect``: opens a source again after it breaks off.
* ``staleness``: finds frames that waited in a buffer, and the time of each frame.
* ``decode_recovery``: finds the first intact frame after damage to a stream.
"""
