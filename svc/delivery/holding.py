"""A partition, from being taken to being given back or lost."""

from dataclasses import dataclass, field

from svc.delivery.heads import HeadCache
from svc.delivery.sequencer import Sequencer
from svc.kernel.coordination import Claim


@dataclass(slots=True, eq=False)
class Holding:
    """One claim on one partition. Everything below `through` was through all steps when it was taken; it is read from
    `read_from`, lower only for the marks of moves. `end`: the log ends here, as far as known. `fences`: shard → the offset of
    its fence, of moves out of the partition that are under way. `heads`: a cache of heads, if there is one."""

    claim: Claim
    sequencer: Sequencer
    through: int
    read_from: int
    end: int
    heads: HeadCache | None = None
    fences: dict[int, int] = field(default_factory=dict)
