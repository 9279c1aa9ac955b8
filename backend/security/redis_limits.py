"""The connection of the rate limits to Redis. Only a city with a Redis imports its client, which takes long."""

from typing import Any

from limits.aio.storage import RedisStorage
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

REDIS_TIMEOUT_SECONDS = 0.25
AWAY = (RedisError, OSError, TimeoutError)
"""What the storage raises while Redis does not answer."""


def open_redis(address: str) -> RedisStorage:
    """Return the storage of the counts at this address. It connects at its first use, and tries once at each."""
    options: dict[str, Any] = {
        "socket_timeout": REDIS_TIMEOUT_SECONDS,
        "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    return RedisStorage(f"async+{address}", implementation="redispy", key_prefix="chengma", **options)
