"""Delivery owns partitions of the log: it gives every record its place in its conversation, stores it, relays it, announces it.

It promises (protocol L, W, T, S): the log decides, everything else is a pure function of it; what is relayed or answered is
stored; seq counts 1, 2, 3 … without holes; any instance may die at any moment, and the next one writes again what is there.
"""
