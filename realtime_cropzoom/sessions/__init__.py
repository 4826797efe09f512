"""Sessions: the folder that one run writes, and how it is read, compared and converted.

In reading order:

* ``folder``: creates the folder of a run, with its settings.
* ``files``: the files of a session, and their columns.
* ``pose_rows``, ``dlc_csv``: CSV of poses and labels in the format of DeepLabCut and Lightning Pose.
* ``schedule_file``: recorded boxes as a schedule, for a replay with the same boxes.
* ``latest``: finds the newest session.
* ``events``: ``load_events``: one table with a row per event.
* ``table``: ``load_session``: one table with a row per frame.
* ``review_session``, ``films``: the numbers and the pictures of a session, for whoever looks at it frame by frame.
* ``compare``: the differences between the poses of two sessions.
* ``foreign``: prediction files of other programs, which ``compare`` reads.
* ``convert``, ``nwb``, ``h5_table``: export to a tidy table, DeepLabCut's H5 or NWB.
"""
