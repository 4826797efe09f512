"""Sinks: write, record and publish the results of a run, each in a thread with a bounded queue of its own."""
