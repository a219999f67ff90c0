"""Incidents of the log (protocol L1, T4): offsets count within one log, and so do committed ones."""

_GROUP = "delivery"


def group_of(incident: int) -> str:
    """The consumer group of the log after an incident: a former owner's late commit must not skip what a new log holds."""
    return f"{_GROUP}.{incident}"
