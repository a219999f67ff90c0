"""The ways to reach a server. One module a transport; `SURFACES` lists them.

A surface calls (a request in, a response out, or `Refused`) and listens (what a session is told, in batches). Whatever else a
server does (no answer, no JSON, no frames) is Broken or an error of the transport; the runner says it in words.
"""
