"""What a device keeps of its user's conversations, behind one port: `MemoryCache` for as long as the program runs,
`SqliteCache` for longer."""

from stonechat_client.cache.memory import MemoryCache
from stonechat_client.cache.port import Cache, Device, Queued, Span, WrongUser
from stonechat_client.cache.sqlite import SqliteCache

__all__ = ["Cache", "Device", "MemoryCache", "Queued", "Span", "SqliteCache", "WrongUser"]
