"""Cases that the contract itself says: from its validation rules, its descriptors, and what its comments promise of every rpc.

A new rpc, field or rule makes new cases without a line here; what the suite cannot do with it is a case that fails and says so.
"""
