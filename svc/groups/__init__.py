"""Groups: who is in them and what each member may do.

A change of a group is whole: the members, the membership version and the record that announces it commit together, one change
of a group at a time. A group that has members has exactly one owner. Versions count 1, 2, 3 … without holes, so whoever
replays a group's changes in order has its members. What follows from a change (its place in the conversation, the inboxes of
those it concerns) is the delivery owner's.
"""
