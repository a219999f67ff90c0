"""Accounts, the devices they are signed in on, and the tokens that prove both.

Promises: a username belongs to one user for ever; what proves somebody (passwords, refresh tokens) is kept only as a hash;
a device that is signed out gets no new token, and in the same transaction its inbox is told, so that its streams end.
"""
