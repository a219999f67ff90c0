"""Verify: whether the promises were kept. It replays what is stored, and holds what clients wrote down against it.

It owns nothing and changes nothing. What it promises: a finding is true of one moment of the store, also while a server writes
to it; what it counts as lost, doubled or reordered is named by conversation, seq and, where a client says so, line of a ledger.
It decides by reading alone, with none of the code that numbered and stored the events.
"""
