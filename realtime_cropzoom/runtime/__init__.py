"""Runtime: the parts from which the threads of a run are built, and what flows between them.

In reading order:

* ``worker``: a named thread, the shared stop event, and the first error of a run.
* ``ring``: the newest frames, in memory that is allocated once.
* ``box_slot``: hands boxes from the detector thread to the pose thread.
* ``pauses``: tells the detector when the pose stage has finished a frame, and how long to wait for that.
* ``records``: the record of each captured frame, and its message.
* ``queues``: sinks: threads that consume records from a bounded queue.
* ``started``: reports that a thread is ready, or why it is not; ``server_thread``: the base of servers beside a run.
* ``signals``: turns Ctrl-C and other signals into an orderly end.
* ``stats``: latencies and rates in constant memory.
* ``priority``: real-time priority for the threads that a pose waits for.
* ``machine``: board, processor and system in words, for figures of speed.
* ``tuning``: settings of the process for many small jobs on many threads; ``fine_waits``: those of Windows for waits.
* ``processes``: processes that a command starts, apart from Ctrl-C of its terminal.
"""
