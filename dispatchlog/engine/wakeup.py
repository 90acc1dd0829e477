"""Telling workers that a lane has something due. Owns the hint; the rows are the truth, so losing every hint only costs
time: the workers' own clocks and the next sweep find the rows.
"""

from __future__ import annotations

import threading
from typing import Any

import dramatiq
import redis
import structlog

from dispatchlog.engine.contact import Contact
from dispatchlog.engine.database import after_commit
from dispatchlog.engine.lanes import Lane

log = structlog.get_logger(__name__)

# A lane name on this list reaches a waiting worker in a millisecond or two; Dramatiq's idle polling takes up to a second.
NUDGES = "dispatchlog:nudges"
FLAG_SECONDS = 5

_MEANWHILE = "workers find what is due by their own clocks; rates and breakers are not shared"

_contacts: dict[str, Contact] = {}
_clients: dict[str, redis.Redis] = {}
_clients_guard = threading.Lock()


def redis_client(url: str) -> redis.Redis:
    """The process's client for `url`, with every time-out set: the library's default is to wait for ever."""
    with _clients_guard:
        if url not in _clients:
            _clients[url] = redis.Redis.from_url(
                url,
                socket_timeout=2.0,
                socket_connect_timeout=2.0,
                socket_keepalive=True,
                health_check_interval=15,
                decode_responses=True,
                encoding_errors="replace",  # anybody who reaches Redis can push what is no text
            )
        return _clients[url]


def redis_contact(url: str) -> Contact:
    """What the process knows of this Redis; whoever asks it next notices that it is back."""
    return _contacts.setdefault(url, Contact("REDIS", meanwhile=_MEANWHILE))


def flag(lane_name: str) -> str:
    """The key that says: a wake-up for this lane is already on its way."""
    return f"dispatchlog:wake:{lane_name}"


class Waker:
    """Sends wake-ups over one broker and one Redis. Never raises: a wake-up that cannot be sent must not fail anybody."""

    def __init__(self, broker: dramatiq.Broker, redis_url: str) -> None:
        self._broker = broker
        self.redis_url = redis_url

    def after_commit(self, lane: Lane) -> None:
        """Wake the lane once the outermost transaction has committed; many rows of one transaction cause one wake-up."""
        after_commit(f"wake:{lane.name}", lambda: self.wake(lane))

    def wake(self, lane: Lane) -> bool:
        """Wake the lane now; whether a hint went out comes back (False: one is already waiting, or the broker is down)."""
        return self.hint(lane.name, queue=lane.queue, actor=lane.actor)

    def hint(self, name: str, *, queue: str, actor: str) -> bool:
        """The same for anything that workers do by a name of its own (`Watch`)."""
        try:
            client: Any = redis_client(self.redis_url)
            if not client.set(flag(name), "1", nx=True, px=FLAG_SECONDS * 1000):
                return False
            self._broker.enqueue(
                dramatiq.Message(queue_name=queue, actor_name=actor, args=(name,), kwargs={}, options={})
            )
            # The list is only for workers that wait on it right now, so it is kept short and short-lived.
            client.pipeline().rpush(NUDGES, name).ltrim(NUDGES, -256, -1).expire(NUDGES, FLAG_SECONDS).execute()
        except redis.RedisError as error:
            redis_contact(self.redis_url).lost(error)
            return False
        except (dramatiq.DramatiqError, OSError) as error:
            log.warning("WAKE_UP_NOT_SENT", lane=name, error=type(error).__name__)
            return False
        redis_contact(self.redis_url).found()
        return True

    def clear(self, lane: Lane) -> None:
        """Forget the flag. A drain does this *before* its first claim: after it, a wake-up in between would be lost."""
        self.clear_hint(lane.name)

    def clear_hint(self, name: str) -> None:
        """The same for what `hint` hinted at."""
        try:
            redis_client(self.redis_url).delete(flag(name))
        except redis.RedisError as error:
            redis_contact(self.redis_url).lost(error)
