"""Messaging holds the sessions of clients: it accepts what they send, and writes to them what they are to be told.

It promises (protocol S): what a session is pushed plus what it pulls is everything; an event is pushed in order, once, and only
after it is stored; a slow reader hurts only itself. A node keeps nothing that is not elsewhere.
"""
