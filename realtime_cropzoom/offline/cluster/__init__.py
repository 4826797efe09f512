"""``cropzoom pipeline --cluster``: one task a recording, on a SLURM cluster or in processes of this machine.

submitit (https://github.com/facebookincubator/submitit) hands the tasks over. The command itself runs nothing: it
writes a folder, and looks at it. Whoever has the folder can look, later and from another shell.

In reading order:

* ``time_span``: time limits as users and SLURM write them.
* ``job``: what the folder of a job holds.
* ``task``: one recording. It runs ``cropzoom pipeline`` and notes how it goes.
* ``slurm``, ``local_queue``: who starts the tasks.
* ``status``: how far each task is.
* ``submit``: from what the user gave to tasks that wait.
"""
