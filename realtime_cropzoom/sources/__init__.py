"""Sources of frames: files, cameras, streams and the synthetic arena.

In reading order:

* ``base``: the protocol of every source.
* ``factory``: opens the source that a user names.
* ``video_file``, ``container``, ``display``: video files, how they are opened, rotated and mirrored.
* ``image_folder``, ``image_file``: folders of images, and single images.
* ``looping``: repeats a file when it ends.
* ``frame_times``, ``recorded_times``: increasing frame times, and the exact times of a recorded run.
* ``recording_table``: the captured frame that each frame of a recording shows.
* ``random_access``: the frames of a video file by number, in any order.
* ``gaps``, ``joined``: frames that a file lacks, and data that it holds beyond its recording.
* ``encoded``, ``h264``, ``packet_buffer``: compressed frames, for recording without encoding again.
* ``first_frame``: one frame, on which zones and calibrations are drawn.
* ``live``: cameras of the operating system and network streams.
* ``machine_vision``: industrial cameras.
* ``arena``: a rendered mouse with exact keypoints.
"""
