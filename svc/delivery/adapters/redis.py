"""Heads of conversations in Redis.

Of each space: a mark, "<chain> <offset>", and an entry a conversation, "<chain> <seq>"; one of another chain does not count.
All of a space shares the part of its keys in braces, so that a cluster keeps it together. Entries last for TTL_SECONDS after
they were written; the mark lasts.
"""

import secrets
from collections.abc import Mapping, Sequence

from svc.backends.redis import Client, Redis

TTL_SECONDS = 7 * 86_400

# KEYS: mark, entries. ARGV: start, end, log end, name of a new chain, seconds, the seq of each entry.
_WRITE = """
local start, stop, log_end = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local chain, mark = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%d+)$')
mark = tonumber(mark)
if not mark or mark < start or mark > log_end then
  chain = ARGV[4]
elseif mark > stop then
  return
end
for i = 2, #KEYS do
  local of, seq = string.match(redis.call('GET', KEYS[i]) or '', '^(%S+) (%d+)$')
  if of ~= chain or tonumber(seq) < tonumber(ARGV[i + 4]) then
    redis.call('SET', KEYS[i], chain .. ' ' .. ARGV[i + 4], 'EX', ARGV[5])
  end
end
redis.call('SET', KEYS[1], chain .. ' ' .. ARGV[2])
"""


class RedisHeads:
    """Serves `Heads`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, space: str, names: Sequence[str]) -> tuple[int, dict[str, int]]:
        keys = self._keys(space, names)

        async def question(client: Client) -> list[bytes | None]:
            found: list[bytes | None] = await client.mget(keys)
            return found

        marked, *entries = await self._redis.ask("read heads", question)
        if marked is None:
            return -1, {}
        chain, _, mark = marked.partition(b" ")
        heads = {
            name: int(seq)
            for name, entry in zip(names, entries, strict=True)
            for of, _, seq in [(entry or b"").partition(b" ")]
            if of == chain
        }
        return int(mark), heads

    async def write(self, space: str, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        keys = self._keys(space, list(heads))
        values = [start, end, log_end, secrets.token_hex(8), TTL_SECONDS, *heads.values()]

        async def question(client: Client) -> None:
            await client.eval(_WRITE, len(keys), *keys, *values)

        await self._redis.ask("write heads", question)

    def _keys(self, space: str, names: Sequence[str]) -> list[str]:
        place = f"{{{space}}}"
        return [self._redis.key("heads", place), *(self._redis.key("heads", place, name) for name in names)]
