"""The board of switches in Redis: a set of what is off. When Redis loses it, everything is on again."""

from svc.backends.redis import Client, Redis


class RedisBoard:
    """Serves `Board`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._key = redis.key("switched-off")

    async def read(self) -> frozenset[str]:
        async def question(client: Client) -> set[bytes]:
            found: set[bytes] = await client.smembers(self._key)
            return found

        return frozenset(name.decode() for name in await self._redis.ask("read switches", question))

    async def set(self, name: str, on: bool) -> None:
        async def question(client: Client) -> None:
            await (client.srem if on else client.sadd)(self._key, name)

        await self._redis.ask("set switch", question)
