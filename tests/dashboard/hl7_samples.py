"""Owns HL7 messages as tests and screenshots need them: stored by the product, then moved by hand. No real persons."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.tables import new_id
from dispatchlog.row_content import HL7_MESSAGES
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.records import Visit
from dispatchlog.systems.hl7.visits import record_visit
from tests.systems.hl7.visits import VISIT

SECRETS = ("Mansoori", "Maryam", "المنصوري", "784-2014-1234567-6", "123 4567", "family@example.org", "12 Palm Street")
_CLAIM = (
    "UPDATE hl7_messages SET status = 'QUEUED', claims = claims + 1, claim_token = gen_random_uuid(), claimed_by = 1,"
    " claimed_at = clock_timestamp(), first_claimed_at = clock_timestamp() WHERE id = %s"
)
_TRY = (
    "INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway, sending_at,"
    " finished_at, outcome, code, message, latency_ms, evidence) SELECT 'hl7', id, claim_token, claims, generation, 1,"
    " 'hl7:' || route, clock_timestamp(), clock_timestamp(), %s, %s, %s, 12.5, %s FROM hl7_messages WHERE id = %s"
)


def add_school(code: str = "SCH-01", name: str = "Palm Grove School") -> None:
    """A school whose endpoint is switched off."""
    schools.add_school(code, name, actor="test")


def message(state: str = "PENDING", *, school: str = "SCH-01", visit: Visit = VISIT, **columns: Any) -> Row:
    """A message in one state: PENDING, RETRYING (after a try that was rejected), SENT, FAILED or CANCELLED."""
    recorded = record_visit(school, replace(visit, id=new_id()), source="clinic")
    message_id: UUID = recorded.messages[0]["id"]
    if state == "SENT":
        _try(message_id, "ACCEPTED", "AA", "")
        _move(message_id, "status = 'SENT', sent_at = clock_timestamp(), provider = 'hl7:' || route")
    elif state == "FAILED":
        _try(message_id, "PERMANENT", "AE", "ACK_AE_103")
        _move(
            message_id,
            "status = 'FAILED', attempts = attempts + 1, last_error = 'The endpoint refuses the message (AE error 103).',"
            " last_error_code = 'ACK_AE_103', first_claimed_at = NULL",
        )
    elif state == "RETRYING":
        _try(message_id, "TRANSIENT", "AR", "ACK_AR_207")
        _move(
            message_id,
            "status = 'PENDING', attempts = attempts + 1, last_error = 'The endpoint cannot take it now (AR error 207).',"
            " last_error_code = 'ACK_AR_207', first_claimed_at = NULL, due_at = now() + interval '1 hour'",
        )
    elif state == "CANCELLED":
        _move(message_id, "status = 'CANCELLED'")
    if columns:
        _move(message_id, ", ".join(f"{name} = %s" for name in columns), *columns.values())
    return found(message_id)


def found(message_id: UUID) -> Row:
    """The message as it stands."""
    with connected():
        found = fetch_dicts("SELECT *, 'hl7' AS lane FROM hl7_messages WHERE id = %s", (message_id,))
    return dict(HL7_MESSAGES.opened(found[0]))


def acknowledgement(code: str, control_id: str) -> str:
    """What the exchange answered; with an error it repeats whom it is about."""
    head = f"MSH|^~\\&|HIE|EXCHANGE|DISPATCHLOG|SCH01|20260309082000+0400||ACK|R{control_id[:8]}|P|2.5.1\r"
    body = f"MSA|{code}|{control_id}\r"
    error = "ERR||PID^1^8|103^Table value not found^HL70357|E||||Maryam Al Mansoori: sex is not known\r"
    return head + body + (error if code != "AA" else "")


def _try(message_id: UUID, outcome: str, code: str, error: str) -> None:
    control_id = found(message_id)["control_id"]
    evidence = {"code": code, "acknowledgement": acknowledgement(code, control_id)}
    if error:
        evidence["text"] = "Maryam Al Mansoori: sex is not known"
    said = {"PERMANENT": "The endpoint refuses the message.", "TRANSIENT": "The endpoint cannot take it now."}
    with transaction("worker:1"):
        execute(_CLAIM, (message_id,))
        execute(_TRY, (outcome, error or None, said.get(outcome, ""), json.dumps(evidence), message_id))


def _move(message_id: UUID, assignments: str, *values: Any) -> None:
    with transaction("worker:1"):
        execute(
            f"UPDATE hl7_messages SET {assignments}, updated_at = clock_timestamp() WHERE id = %s",
            (*values, message_id),
        )
