"""Token buckets that instances share, in Redis: a hash each, gone when the bucket would be full again.

The time is the server's, so that no instance's clock counts. A Redis that was wiped has full buckets; one that comes back old
has them as full as time has made them.
"""

from collections.abc import Sequence

from svc.backends.redis import Client, Redis
from svc.kernel.limits import Spent

# However much was taken, nobody waits longer than this for the bucket to have something again.
_DEBT_SECONDS = 60

# KEYS: the bucket. ARGV: tokens a second, tokens of a full bucket, tokens taken, most seconds of debt.
_SPEND = """
local per_second, burst, spent = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local found = redis.call('HMGET', KEYS[1], 'level', 'at')
local level, at = tonumber(found[1]) or burst, tonumber(found[2]) or now
level = math.min(burst, level + math.max(0, now - at) * per_second) - spent
level = math.max(level, -per_second * ARGV[4])
redis.call('HSET', KEYS[1], 'level', level, 'at', now)
redis.call('EXPIRE', KEYS[1], math.ceil((burst - level) / per_second) + 1)
return tostring(level)
"""


class RedisBuckets:
    """Serves `Pool`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def spend(self, spent: Sequence[Spent]) -> Sequence[float]:
        if not spent:
            return []

        async def question(client: Client) -> list[bytes]:
            pipeline = client.pipeline(transaction=False)
            for told in spent:
                key = self._redis.key("bucket", told.what, told.who)
                pipeline.eval(_SPEND, 1, key, told.rate.per_second, told.rate.burst, told.tokens, _DEBT_SECONDS)
            found: list[bytes] = await pipeline.execute()
            return found

        return [float(level) for level in await self._redis.ask("spend", question)]
