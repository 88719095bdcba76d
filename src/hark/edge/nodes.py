"""What the nodes behind one load balancer share, by --redis: where keys are kept, and who counts sessions at once.

Rule: without the option a node is alone: SQLite in its data folder, and it counts by itself, or its supervisor for its
gateways. With it, each process counts in Redis by key and by address; --max-sessions stays what it is, for what one
machine carries has nothing to do with others.
"""

from __future__ import annotations

from hark.auth.keys import Keys
from hark.auth.limits import OpenSessions, Sessions
from hark.auth.places import Place
from hark.auth.redis_server import RedisServer
from hark.auth.redis_sessions import RedisSessions
from hark.config import Settings
from hark.edge.gateway import Gateway


def place_of(settings: Settings) -> Place:
    """Raises OperatorError if --redis is no such URL, or the client of Redis is not installed."""
    return settings.data_folder if settings.redis is None else RedisServer(settings.redis.get_secret_value())


def keys_of(settings: Settings) -> Keys:
    """Raises as `place_of` does."""
    return Keys(settings.own_key, place_of(settings))


def sessions_of(settings: Settings, place: Place, gateway: Gateway | None) -> Sessions:
    """Who counts sessions at once. `gateway`: this process, if it is one of several."""
    if isinstance(place, RedisServer):
        return RedisSessions(place, settings.max_sessions_per_address, gateway)
    return gateway or OpenSessions(settings.max_sessions_per_address)
