"""The conformance suite: one list of cases, each a promise of the contract, run over every surface of a running server.

`stonechat conformance URL` runs it against any server; tests/mesh runs the same list against the product. It reaches the server
by surfaces of its own and shares nothing with the client library, so that a fault of one is not hidden by the other.
"""
