"""The Dramatiq broker, made from the settings: Redis or Valkey, or RabbitMQ. Owns its middleware; declares no actor."""

from __future__ import annotations

from functools import lru_cache

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AgeLimit, Callbacks, CurrentMessage, Middleware, Pipelines, ShutdownNotifications

from dispatchlog.engine.wakeup import Waker
from dispatchlog.settings import get_settings


def make_broker(url: str) -> dramatiq.Broker:
    """A broker for `redis://` or `amqp://` URLs.

    There is no Retries middleware: a message is only a hint, and retries live in the rows. There is no time limit
    either: it could not interrupt a system call, and every gateway has a total deadline of its own.
    """
    middleware: list[Middleware] = [
        AgeLimit(max_age=3_600_000),
        ShutdownNotifications(notify_shutdown=False),
        Callbacks(),
        Pipelines(),
        CurrentMessage(),
    ]
    if url.startswith("amqp"):
        from dramatiq.brokers.rabbitmq import RabbitmqBroker  # noqa: PLC0415 - an extra that few installations have

        return RabbitmqBroker(url=url, middleware=middleware)
    pool = redis.ConnectionPool.from_url(
        url, socket_timeout=5.0, socket_connect_timeout=3.0, socket_keepalive=True, health_check_interval=15
    )
    client: redis.Redis = redis.Redis(connection_pool=pool)
    return RedisBroker(client=client, middleware=middleware)  # type: ignore[no-untyped-call]  # dramatiq types no broker


@lru_cache(maxsize=1)
def get_broker() -> dramatiq.Broker:
    """The process's broker; connects when first used."""
    return make_broker(get_settings().effective_broker_url)


@lru_cache(maxsize=1)
def get_waker() -> Waker:
    """The process's sender of wake-ups."""
    return Waker(get_broker(), get_settings().effective_redis_url)
