"""Links that patients open without signing in: to read a message, or to choose how to be reached. Owns their table.

A link names a random token of 256 bits whose hash alone is kept; it ends by itself, and can be ended.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import execute, fetch_dicts, insert_many, require_transaction, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.keys.columns import PORTAL_TEXTS
from dispatchlog.sealing import CannotUnsealError, seal, unseal
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach import audit
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.states import AuditAction, Channel

MESSAGE = "message"
PREFERENCES = "preferences"
# Whoever finds an old e-mail may still want to end them; the law of most places asks for a month at least.
PREFERENCES_DAYS = 400

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_UNKNOWN = "this link is not known; it may have been copied incompletely"


@dataclass(frozen=True, slots=True)
class PortalLink:
    """What a token opens. `text` of kind "message" is what may not stand in the message itself."""

    id: UUID
    kind: str
    patient_id: UUID
    job_id: UUID | None
    channel: Channel | None
    marketing: bool
    text: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """A new link: the address with its token, and the row that `store_links` writes."""

    address: str
    row: tuple[Any, ...]


def message_link(patient_id: UUID, job_id: UUID, text: str, *, expires_at: datetime) -> Link:
    """A link to read `text`; it opens once it is stored."""
    return _new_link("/p/", MESSAGE, patient_id, job_id=job_id, text=text, expires_at=expires_at)


def preferences_link(patient_id: UUID, *, channel: Channel | None, marketing: bool, job_id: UUID | None = None) -> Link:
    """A link to the patient's preferences, whose address ends in a token; with `channel`, the one-click address of RFC 8058
    is the same with "/one-click" behind it. It opens once it is stored.
    """
    ends = datetime.now(UTC) + timedelta(days=PREFERENCES_DAYS)
    return _new_link(
        "/p/prefs/", PREFERENCES, patient_id, job_id=job_id, channel=channel, marketing=marketing, expires_at=ends
    )


def store_links(links: Sequence[Link]) -> None:
    """Store new links, in the caller's transaction."""
    require_transaction()
    if links:
        insert_many(
            "INSERT INTO comm_portal_tokens (id, token_hash, kind, patient_id, job_id, channel, marketing, content_sealed,"
            " expires_at) VALUES %s",
            [link.row for link in links],
        )


def issue_message_link(patient_id: UUID, job_id: UUID, text: str, *, expires_at: datetime) -> str:
    """A link to read `text`, stored in the caller's transaction: the whole address."""
    return _issued(message_link(patient_id, job_id, text, expires_at=expires_at))


def issue_preferences_link(
    patient_id: UUID, *, channel: Channel | None, marketing: bool, job_id: UUID | None = None
) -> str:
    """As `preferences_link`, stored in the caller's transaction: the whole address."""
    return _issued(preferences_link(patient_id, channel=channel, marketing=marketing, job_id=job_id))


def open_link(token: str, *, kind: str, asker: Asker) -> PortalLink:
    """What the token opens; counted and audited (`access`).

    Raises:
        OutreachError: LINK_UNKNOWN, LINK_EXPIRED, LINK_REVOKED.
    """
    if not _TOKEN.fullmatch(token):
        raise OutreachError(_UNKNOWN, code="LINK_UNKNOWN", field="token")
    with transaction(asker.actor):
        rows = fetch_dicts("SELECT * FROM comm_portal_tokens WHERE token_hash = %s AND kind = %s", (_hash(token), kind))
        if not rows:
            raise OutreachError(_UNKNOWN, code="LINK_UNKNOWN", field="token")
        found = _opened(rows[0])
        execute(
            "UPDATE comm_portal_tokens SET opens = opens + 1, first_opened_at = coalesce(first_opened_at, %s)"
            " WHERE id = %s",
            (datetime.now(UTC), found.id),
        )
        details = {"portal_link": str(found.id), "kind": kind, "job_id": found.job_id and str(found.job_id)}
        audit.note(AuditAction.ACCESS, found.patient_id, asker, details)
    return found


def revoke_messages(patient_id: UUID, channel: Channel, address_hash: bytes) -> None:
    """End the links to read messages that went to an address which is not the patient's any more.

    Those to preferences stay: whoever reads there may still end what comes there.
    """
    execute(
        "UPDATE comm_portal_tokens t SET revoked_at = %s FROM comm_jobs j WHERE t.patient_id = %s AND t.kind = %s"
        " AND t.revoked_at IS NULL AND j.id = t.job_id AND j.channel = %s AND j.recipient_hash = %s",
        (datetime.now(UTC), patient_id, MESSAGE, channel, address_hash),
    )


def revoke_links(patient_id: UUID) -> int:
    """End all the patient's links."""
    return int(
        execute(
            "UPDATE comm_portal_tokens SET revoked_at = %s WHERE patient_id = %s AND revoked_at IS NULL",
            (datetime.now(UTC), patient_id),
        ).rowcount
    )


def _issued(link: Link) -> str:
    store_links([link])
    return link.address


def _new_link(
    path: str,
    kind: str,
    patient_id: UUID,
    *,
    expires_at: datetime,
    job_id: UUID | None = None,
    channel: Channel | None = None,
    marketing: bool = False,
    text: str | None = None,
) -> Link:
    link_id, token = new_id(), secrets.token_urlsafe(32)
    sealed = None if text is None else seal(text, purpose=PORTAL_TEXTS, owner=str(link_id))
    row = (
        *(link_id, _hash(token), kind, patient_id, job_id, str(channel) if channel else None, marketing),
        *(sealed, expires_at),
    )
    return Link(f"{get_settings().effective_public_url}{path}{token}", row)


def _opened(row: Mapping[str, Any]) -> PortalLink:
    if row["revoked_at"] is not None:
        raise OutreachError("this link has been ended", code="LINK_REVOKED", field="token")
    if row["expires_at"] <= datetime.now(UTC):
        raise OutreachError("this link has ended", code="LINK_EXPIRED", field="token")
    return PortalLink(
        id=row["id"],
        kind=row["kind"],
        patient_id=row["patient_id"],
        job_id=row["job_id"],
        channel=Channel(row["channel"]) if row["channel"] else None,
        marketing=row["marketing"],
        text=_text(row),
        expires_at=row["expires_at"],
    )


def _text(row: Mapping[str, Any]) -> str:
    if row["content_sealed"] is None:
        return ""
    try:
        return unseal(bytes(row["content_sealed"]), purpose=PORTAL_TEXTS, owner=str(row["id"]))
    except CannotUnsealError as error:
        raise OutreachError("this link cannot be opened any more", code="LINK_REVOKED", field="token") from error


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
