"""A real service with its broker and its journal, which are killed, filled up and started again: what `ov2 bench faults` is made of.

Everything is a process of its own: `ov2 serve`, Mosquitto, Redis. Beside them a subscriber of ours keeps what it is told. In the end its
messages are held against the journal.
"""
