"""Every reason that an error may have: which case provokes it, or why none can from the outside."""

PROVOKED: dict[str, str] = {
    "INVALID_FIELD": "a field that breaks its rule is named",
    "MALFORMED_REQUEST": "what is no message is malformed",
    "PROTOCOL_VIOLATION": "a frame that may not come ends the stream",
    "UNAUTHENTICATED": "a token that is not ours is refused",
    "DEVICE_REVOKED": "a device that is signed out ends at once",
    "WRONG_CREDENTIALS": "wrong credentials and unknown names answer alike",
    "REFRESH_TOKEN_INVALID": "a refresh token that is none is refused",
    "PERMISSION_DENIED": "a member may not remove anybody",
    "NOT_FOUND": "what is missing and what is forbidden answer alike",
    "USERNAME_TAKEN": "a username is given once",
    "IDEMPOTENCY_CONFLICT": "other content under the same id is refused",
    "RATE_LIMITED": "who guesses passwords is told when to come back",
    "TARGET_NOT_CHANGEABLE": "what was withdrawn is gone everywhere",
    "UNIMPLEMENTED": "a call that is not offered is unimplemented",
    "TOO_MANY_IN_FLIGHT": "a session has a bounded number of sends in flight",
}
NOT_PROVOKED: dict[str, str] = {
    "UNSPECIFIED": "it is never sent",
    "TOKEN_EXPIRED": "it takes as long as a token lasts",
    "EXPIRED": "it takes a log that is slower than a deadline",
    "OUTCOME_UNKNOWN": "it takes a server that does not answer in time",
    "BUSY": "it takes more sessions at once than a server admits",
    "UNPROCESSABLE": "no content is known that cannot be processed",
    "GROUP_FULL": "it takes as many users as a group may have",
    "UNAVAILABLE": "it takes a part of the server that is down",
    "DRAINING": "it takes a server that stops",
    "INTERNAL": "it takes a fault of the server",
}
