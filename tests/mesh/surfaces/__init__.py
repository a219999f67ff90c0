"""The ways to reach the product. One module a transport; `SURFACES` lists them.

A surface calls (a request in, a response out, or `Refused`) and listens (what a session is told, in batches).
"""
