"""Schools and the settings of their endpoints: storing them, refusing what cannot work. Opens no connection.

Every school has an endpoint, switched off until somebody has said where it is. A change makes a new version, which workers
take up within a second or two, and is kept with who made it; secrets are never in that record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2

from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.gateways.hl7_acknowledgement import BadDecisionTableError, DecisionTable
from dispatchlog.gateways.hl7_endpoint import EndpointError
from dispatchlog.keys.columns import API_KEYS, CLIENT_KEYS
from dispatchlog.settings import get_settings
from dispatchlog.systems.hl7.endpoints import (
    SELECT,
    endpoint_of,
    gateway_name,
    identity_of,
    routes,
    sealed,
)
from dispatchlog.systems.hl7.identity import AUTHORITIES, IdentityError
from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES
from dispatchlog.systems.hl7.records import VisitKind

CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
SECRETS = {"api_key": ("api_key_sealed", API_KEYS), "client_key_pem": ("client_key_sealed", CLIENT_KEYS)}
SETTINGS = (
    "enabled",
    "transport",
    "host",
    "port",
    "url",
    "tls",
    "server_name",
    "ca_pem",
    "client_certificate_pem",
    "api_key_header",
    *AUTHORITIES,
    "message_type_form",
    "control_id_length",
    "processing_id",
    "acknowledgements",
    "messages",
    "rate_per_second",
    "batch",
    "max_retries",
    "first_retry_seconds",
    "dedupes",
    "in_line",
    "deadline_seconds",
    "connect_seconds",
    "idle_seconds",
    "max_reply_bytes",
)
_JSON = ("acknowledgements", "messages")
# Of these the record says only that they were changed: the first two are secret, the others too long to read.
UNTOLD = (*SECRETS, "ca_pem", "client_certificate_pem")


class SchoolError(DispatchlogError):
    """The school or its endpoint cannot be stored so; `field` names the culprit. Nothing was changed."""

    def __init__(self, message: str, *, code: str, field: str = "") -> None:
        super().__init__(message, code=code)
        self.field = field


@dataclass(frozen=True, slots=True)
class School:
    """A school, and whether messages leave by its endpoint."""

    id: UUID
    code: str
    name: str
    enabled: bool


def add_school(code: str, name: str, *, actor: str) -> School:
    """A new school, its endpoint switched off and named after it.

    Raises:
        SchoolError: INVALID_CODE, INVALID_NAME, or SCHOOL_EXISTS.
    """
    if not CODE.fullmatch(code):
        message = "a school's code is 1 to 40 letters, digits, dots, underscores or hyphens"
        raise SchoolError(message, code="INVALID_CODE", field="code")
    name = name.strip()
    if not name or len(name) > 255 or not name.isprintable():
        raise SchoolError("a school's name is 1 to 255 characters", code="INVALID_NAME", field="name")
    school_id = new_id()
    with transaction(actor):
        made = execute(
            "INSERT INTO schools (id, code, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", (school_id, code, name)
        )
        if not made.rowcount:
            raise SchoolError(f"there is a school {code} already", code="SCHOOL_EXISTS", field="code")
        execute(
            "INSERT INTO hl7_endpoints (school_id, sending_facility, patient_authority, updated_by)"
            " VALUES (%s, %s, %s, %s)",
            (school_id, code[:20], code[:20], actor),
        )
        log_action(actor, "school_add", detail={"school": code})
    routes.forget()
    return School(school_id, code, name, enabled=False)


def schools() -> list[School]:
    """All of them, by code."""
    with connected():
        rows = fetch_all(
            "SELECT s.id, s.code, s.name, e.enabled FROM schools s JOIN hl7_endpoints e ON e.school_id = s.id"
            " ORDER BY s.code"
        )
    return [School(*row) for row in rows]


def change_endpoint(
    code: str, changes: Mapping[str, Any], *, actor: str, reason: str = "", version: int | None = None
) -> int:
    """Change some of a school's settings (`SETTINGS`, and `api_key` and `client_key_pem` in the clear); the new version
    comes back. With `version`, only if nobody has changed it since that one.

    Raises:
        SchoolError: UNKNOWN_SCHOOL, UNKNOWN_SETTING, INVALID_SETTING or CHANGED_MEANWHILE.
    """
    for name in changes:
        if name not in SETTINGS and name not in SECRETS:
            raise SchoolError(f"there is no setting {name[:64]!r}", code="UNKNOWN_SETTING", field=name[:64])
    with transaction(actor, reason):
        found = fetch_dicts(f"{SELECT} WHERE s.code = %s FOR UPDATE OF e", (code,))
        if not found:
            raise SchoolError("there is no such school", code="UNKNOWN_SCHOOL", field="school")
        row = found[0]
        if version is not None and version != row["version"]:
            message = f"{row['updated_by']} has changed it in the meantime; look at it as it is now"
            raise SchoolError(message, code="CHANGED_MEANWHILE")
        values = {name: value for name, value in changes.items() if name in SETTINGS}
        for name, (column, purpose) in SECRETS.items():
            if name in changes:
                values[column] = sealed(changes[name], purpose=purpose, school_id=row["school_id"])
        _store(row, values, actor)
        _check(code)
        told = {name: _told(name, row, changes) for name in sorted(changes) if _differs(name, row, changes)}
        detail = {"school": code, "settings": sorted(changes), "version": int(row["version"]) + 1, "changes": told}
        log_action(actor, "hl7_endpoint_change", reason=reason, detail=detail)
    routes.forget()
    Breaker(get_settings().effective_redis_url).forget(gateway_name(code))
    return int(row["version"]) + 1


def _differs(name: str, row: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    return name in SECRETS or bool(row[name] != changes[name])


def _told(name: str, row: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the record says of one changed setting: from what, to what; nothing of those in UNTOLD."""
    return {} if name in UNTOLD else {"from": row[name], "to": changes[name]}


def _store(row: Mapping[str, Any], values: Mapping[str, Any], actor: str) -> None:
    columns = ", ".join(f"{name} = %s" for name in values)
    given = [_stored(name, value) for name, value in values.items()]
    try:
        execute(
            f"UPDATE hl7_endpoints SET {columns}{', ' if columns else ''}version = version + 1, updated_by = %s,"
            " updated_at = clock_timestamp() WHERE school_id = %s",
            (*given, actor, row["school_id"]),
        )
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        raise _refused(error) from error
    except Exception as error:
        if isinstance(error.__cause__ or error.__context__, psycopg2.DataError | psycopg2.IntegrityError):
            raise _refused(error.__cause__ or error.__context__) from error
        raise


def _refused(error: Any) -> SchoolError:
    """By the check that PostgreSQL names, `hl7_endpoints_<setting>_check`."""
    constraint = getattr(getattr(error, "diag", None), "constraint_name", "") or ""
    name = constraint.removeprefix("hl7_endpoints_").removesuffix("_check")
    setting = name if name in SETTINGS else ""
    return SchoolError(
        f"{setting or 'a setting'} is out of its limits or not of its kind", code="INVALID_SETTING", field=setting
    )


def _stored(name: str, value: Any) -> Any:
    if name in _JSON:
        return json.dumps(value)
    return psycopg2.Binary(value) if isinstance(value, bytes) else value


def _check(code: str) -> None:
    """Refuse what cannot work, before it is committed; an endpoint that is off may be unfinished."""
    row = fetch_dicts(f"{SELECT} WHERE s.code = %s", (code,))[0]
    for kind, message_type in row["messages"].items():
        if kind not in list(VisitKind) or message_type not in MESSAGE_TYPES:
            message = f"{kind} cannot be sent as {message_type}"
            raise SchoolError(message, code="INVALID_SETTING", field="messages")
    try:
        DecisionTable.with_changes(row["acknowledgements"])
    except BadDecisionTableError as error:
        raise SchoolError(str(error), code="INVALID_SETTING", field="acknowledgements") from error
    try:
        identity_of(row)
        if row["enabled"]:
            endpoint_of(row).tls_context()
    except (IdentityError, EndpointError) as error:
        raise SchoolError(str(error), code="INVALID_SETTING", field=error.field) from error
