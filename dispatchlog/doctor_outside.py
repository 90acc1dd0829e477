"""The thorough part of an examination that asks others: mail server, providers, certificates, Valkey, disk. Sends nothing.

Signing in is as far as it goes: no message is begun, and providers are asked for what they know of our own account.
"""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis

from dispatchlog.doctor import Check, State
from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Transient
from dispatchlog.gateways.smtp_endpoint import SmtpConnector, SmtpEndpoint
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import endpoints

SECONDS = 5.0
SOON_DAYS = 14
LITTLE_BYTES, LITTLE_SHARE = 2 * 2**30, 0.1
MANY_WAKE_UPS = 10_000
_HTTPS = (
    "public_url webhook_url socket_url kit_registry_url courier_url kwik_url orders_api_url form_url alert_webhook_url"
)
_KEYS_RENEW = "renew the certificate, or correct the address"


def examine_outside(settings: Settings) -> Iterator[Check]:
    """Every check of what is not PostgreSQL."""
    yield from _smtp(settings)
    yield from _certificates(settings)
    yield from _providers(settings)
    yield from _valkey(settings)
    yield _disk(settings)


def _smtp(settings: Settings) -> Iterator[Check]:
    try:
        endpoint = SmtpEndpoint.parse(settings.smtp_url)
        connection = SmtpConnector(endpoint).open(deadline=Deadline(SECONDS))
        told = connection.peer_certificate()
        connection.quit()
    except (Transient, ValueError) as error:
        code = getattr(error, "code", "BAD_SETTING")
        yield Check("mail login", "failed", f"{code}: {error}", "correct DISPATCHLOG_SMTP_URL; mails wait meanwhile")
        return
    place, how = f"{endpoint.host}:{endpoint.port}", "signed in" if endpoint.user else "no login is set"
    yield Check("mail login", "ok", f"{place} greets us, {how}, TLS {endpoint.tls}")
    if told:
        yield _lasting(told, f"smtp_url: {place}")


def _certificates(settings: Settings) -> Iterator[Check]:
    """Of every address with TLS that is configured; a channel that is switched off has none."""
    urls = {name: str(getattr(settings, name)) for name in _HTTPS.split()}
    urls |= {f"{name}_url": str(getattr(settings, f"{name}_url")) for name in _channels(settings)}
    urls |= {"redis_url": settings.effective_redis_url, "broker_url": settings.effective_broker_url}
    places: dict[tuple[str, int], str] = {}
    for name, url in urls.items():
        parts = urlsplit(url)
        port = {"https": 443, "wss": 443, "rediss": 6379, "amqps": 5671}.get(parts.scheme)
        if port and parts.hostname:
            places.setdefault((parts.hostname, parts.port or port), name)
    for (host, port), name in places.items():
        yield certificate(host, port, name)


def certificate(host: str, port: int, name: str, *, ca_pem: str = "", server_name: str = "") -> Check:
    """Whether whoever answers there can be trusted, by this authority or this machine's, and for how long yet."""
    what = f"{name}: {host}:{port}"
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
        with (
            socket.create_connection((host, port), timeout=SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=server_name or host) as secured,
        ):
            told: dict[str, Any] = secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Check("certificate", "failed", f"{what}: {error.verify_message}", _KEYS_RENEW)
    except (OSError, ValueError) as error:
        return Check("certificate", "failed", f"{what}: {type(error).__name__}", "see that it answers, with TLS")
    return _lasting(told, what)


def _lasting(told: Mapping[str, Any], what: str) -> Check:
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(told["notAfter"]), UTC)
    days = (ends - datetime.now(UTC)).days
    state: State = "warning" if days < SOON_DAYS else "ok"
    return Check("certificate", state, f"{what}: good for {days} days", _KEYS_RENEW if state == "warning" else "")


def examine_schools() -> Iterator[Check]:
    """The certificates of the schools' endpoints that are switched on and use TLS; to be called with a connection."""
    for row in fetch_dicts(endpoints.SELECT + " WHERE e.enabled ORDER BY s.code"):
        url = urlsplit(row["url"])
        is_web = row["transport"] == "HTTPS"
        host, port = (url.hostname or "", url.port or 443) if is_web else (row["host"], row["port"])
        if host and (url.scheme == "https" if is_web else row["tls"]):
            name = endpoints.gateway_name(row["code"])
            yield certificate(host, port, name, ca_pem=row["ca_pem"], server_name=row["server_name"])


@dataclass(frozen=True, slots=True)
class _Question:
    """What a provider is asked of our own account."""

    url: str
    headers: dict[str, str]
    login: tuple[str, str] | None = None


def _channels(settings: Settings) -> set[str]:
    """Providers by whom messages to patients leave."""
    used = {settings.outreach_sms, settings.outreach_whatsapp, settings.outreach_email}
    return {{"cloud": "whatsapp"}.get(name, name) for name in used} & {"twilio", "whatsapp", "sendgrid"}


def _providers(settings: Settings) -> Iterator[Check]:
    ask: dict[str, Callable[[], _Question]] = {
        "twilio": lambda: _Question(
            f"{settings.twilio_url}/2010-04-01/Accounts/{settings.twilio_account_sid}.json",
            {},
            (settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()),
        ),
        "sendgrid": lambda: _Question(
            f"{settings.sendgrid_url}/v3/scopes", _bearer(settings.sendgrid_api_key.get_secret_value())
        ),
        "whatsapp": lambda: _Question(
            f"{settings.whatsapp_url}/{settings.whatsapp_phone_number_id}?fields=id",
            _bearer(settings.whatsapp_token.get_secret_value()),
        ),
    }
    for name in sorted(_channels(settings)):
        yield _provider(name, ask[name]())


def _provider(name: str, asked: _Question) -> Check:
    """Whether it knows our key; its answer is read no further than its status."""
    try:
        status = httpx.get(asked.url, headers=asked.headers, auth=asked.login, timeout=SECONDS).status_code
    except httpx.HTTPError as error:
        return Check(
            "provider", "warning", f"{name}: {type(error).__name__}", "see whether it can be reached from here"
        )
    if status in (401, 403):
        words = f"{name} refuses our key (HTTP {status})"
        return Check("provider", "failed", words, f"correct the DISPATCHLOG_{name.upper()}_ settings; messages wait")
    if status != 200:
        return Check(
            "provider", "warning", f"{name} answers HTTP {status}", "see its status page, and our account there"
        )
    return Check("provider", "ok", f"{name} knows our key")


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _valkey(settings: Settings) -> Iterator[Check]:
    urls = dict.fromkeys((settings.effective_redis_url, settings.effective_broker_url))
    for url in (url for url in urls if url.startswith(("redis", "valkey", "unix"))):
        client: Any = redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
        try:
            yield from (_memory(client), _persistence(client), _wake_ups(client))
        except redis.RedisError as error:
            words = f"{type(error).__name__}"
            yield Check("valkey", "failed", words, "see that it runs; workers find what is due by their own clocks")
        finally:
            client.close()


def _memory(client: Any) -> Check:
    told = client.info("memory")
    policy, most = told.get("maxmemory_policy", "?"), int(told.get("maxmemory", 0))
    words = f"maxmemory {most // 2**20 or 'unlimited'}{' MiB' if most else ''}, {policy}"
    if policy == "noeviction":
        return Check("valkey memory", "ok", words)
    what_next = "CONFIG SET maxmemory-policy noeviction: whatever it throws away is a wake-up, a rate or a breaker"
    return Check("valkey memory", "failed" if most else "warning", words, what_next)


def _persistence(client: Any) -> Check:
    told = client.info("persistence")
    appends = bool(int(told.get("aof_enabled", 0)))
    if told.get("rdb_last_bgsave_status") == "err" or told.get("aof_last_write_status") == "err":
        return Check("valkey persistence", "failed", "its last save failed", "see its log and its disk")
    if not appends and not _saves(client):
        words = "nothing is saved; after a restart workers find what is due by their own clocks"
        return Check("valkey persistence", "warning", words, "CONFIG SET appendonly yes")
    return Check("valkey persistence", "ok", "appends each write" if appends else "saves now and then")


def _saves(client: Any) -> bool:
    """Whether it writes its data out now and then; where it does not tell, that is its operator's matter."""
    try:
        return bool(client.config_get("save").get("save", ""))
    except redis.ResponseError:
        return True


def _wake_ups(client: Any) -> Check:
    queues = sorted(key.decode() for key in client.scan_iter("dramatiq:*", _type="LIST"))
    lengths = {queue.removeprefix("dramatiq:"): int(client.llen(queue)) for queue in queues}
    longest = max(lengths.values(), default=0)
    words = ", ".join(f"{queue} {length:,}" for queue, length in lengths.items()) or "no wake-up waits"
    if longest > MANY_WAKE_UPS:
        return Check("wake-ups", "warning", words, "start workers; what is dead (.XQ) may be deleted")
    return Check("wake-ups", "ok", words)


def _disk(settings: Settings) -> Check:
    """Where this machine keeps what it keeps; PostgreSQL's own disk is its server's matter."""
    place = settings.var_dir if settings.var_dir.exists() else Path.cwd()
    space = shutil.disk_usage(place)
    words = f"{space.free / 2**30:,.1f} of {space.total / 2**30:,.1f} GiB are free at {place}"
    if space.free < LITTLE_BYTES or space.free < LITTLE_SHARE * space.total:
        return Check("disk", "warning", words, "make room before it is full")
    return Check("disk", "ok", words)
