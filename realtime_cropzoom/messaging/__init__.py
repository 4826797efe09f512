"""Messaging: what goes over ZeroMQ, to where, encrypted with which keys.

In reading order:

* ``message``: the messages of schema version 1 and their bytes.
* ``endpoints``: parses endpoints, and checks whether other machines can reach them.
* ``sockets``: creates, limits and monitors ZeroMQ sockets.
* ``keys``: reads and writes the key files of ``cropzoom keys``.
* ``security``: CURVE encryption: which clients may connect, and why a server refused this one.
* ``connections``: counts and limits the connections to a bound socket.
* ``limits``: the number of files and connections that a process may open.
* ``time_sync``: the offset between the clocks of two machines, with its uncertainty.
"""
