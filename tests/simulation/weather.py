"""What goes wrong by itself in a schedule, and how often."""

from dataclasses import dataclass


@dataclass(slots=True)
class Weather:
    """Probabilities for each call, and seconds. The default is a calm day."""

    latency: float = 0.004
    log_unknown: float = 0.0  # an append or commit raises; stored at once, stored late, or not stored
    log_twice: float = 0.0  # a producer appends an entry twice
    store_unknown: float = 0.0  # a write raises; any part of it lands, now or later
    read_fails: float = 0.0
    cache_fails: float = 0.0  # a call raises; what it wrote is done at once, late, or never
    replica_late: float = 0.0  # the third replica gets a write late, or not before it is repaired
    stream_slow: float = 0.0  # the owner's end of a stream is read slowly: queues grow
    stale_owner: float = 0.0  # a node finds an older owner that still lives
    cut_stream: float = 0.0  # a stream breaks when something passes it
    queue_bytes: int = 8 << 20
    fetch_entries: int = 20

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        quiet = Weather(queue_bytes=self.queue_bytes, fetch_entries=self.fetch_entries)
        for name in Weather.__slots__:
            setattr(self, name, getattr(quiet, name))
