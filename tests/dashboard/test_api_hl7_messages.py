"""HL7 messages over HTTP: found by status, school and date, read with their tries, and asked for again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog.engine.database import execute, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import retrying, schools
from dispatchlog.systems.hl7.visits import record_visit
from tests.dashboard.api_support import Api, rows, running_api
from tests.systems.hl7.visits import VISIT


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    """Two schools, both switched off, so that nothing leaves."""
    with running_api(settings_env) as running:
        for code in ("SCH-01", "SCH-02"):
            schools.add_school(code, code, actor="test")
        yield running


def put(school: str = "SCH-01", **columns: Any) -> str:
    recorded = record_visit(school, replace(VISIT, id=new_id()), source="clinic")
    message_id: UUID = recorded.messages[0]["id"]
    if columns:
        assignments = ", ".join(f"{name} = %s" for name in columns)
        with transaction("test"):
            execute(f"UPDATE hl7_messages SET {assignments} WHERE id = %s", (*columns.values(), message_id))
    return str(message_id)


def put_failed(school: str = "SCH-01") -> str:
    return put(school, status="FAILED", attempts=6, last_error_code="TIMEOUT")


def found(api: Api, query: str = "") -> list[str]:
    """Every page's messages, one a page."""
    ids, cursor = [], ""
    while True:
        body = api.call("GET", f"/hl7/messages?limit=1{query}{cursor}").get_json()
        ids += [message["messageId"] for message in body["messages"]]
        if body["nextCursor"] is None:
            return ids
        cursor = f"&cursor={body['nextCursor']}"


def test_messages_are_found_by_status_school_and_date(api: Api, settings_env: Settings) -> None:
    old = put_failed()
    with closing(psycopg2.connect(settings_env.database_url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute("UPDATE hl7_messages SET created_at = now() - interval '3 days'")
    waiting, elsewhere, failed = put(), put_failed("SCH-02"), put_failed()
    a_day_ago = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found(api) == [failed, elsewhere, waiting, old]
    assert found(api, "&status=FAILED") == [failed, elsewhere, old]
    assert found(api, "&school=SCH-01") == [failed, waiting, old]
    assert found(api, "&school=SCH-01&status=FAILED") == [failed, old]
    assert found(api, f"&from={a_day_ago}") == [failed, elsewhere, waiting]
    assert found(api, f"&to={a_day_ago}") == [old]
    assert found(api, f"&from={a_day_ago}&to={a_day_ago}") == []


@pytest.mark.parametrize(
    ("query", "status", "code", "field"),
    [
        ("status=LOST", 400, "UNKNOWN_STATUS", "status"),
        ("school=SCH-99", 404, "UNKNOWN_SCHOOL", "school"),
        ("school=%00", 400, "INVALID_VALUE", "school"),
        ("from=yesterday", 400, "INVALID_DATE", "from"),
        ("to=2026-03-01T00:00:00", 400, "NAIVE_DATE", "to"),
        ("cursor=x", 400, "INVALID_CURSOR", "cursor"),
        ("cursor=99999999999999999999", 400, "INVALID_CURSOR", "cursor"),
        ("limit=0", 400, "INVALID_LIMIT", "limit"),
        ("student=S-10042", 400, "UNKNOWN_FIELD", "student"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(api: Api, query: str, status: int, code: str, field: str) -> None:
    assert api.error(api.call("GET", f"/hl7/messages?{query}")) == (status, code, field)


def test_a_message_comes_with_its_tries_and_their_acknowledgements_codes_alone(api: Api) -> None:
    message_id = put_failed()
    with transaction("test"):
        evidence = {"code": "AE", "errors": ["207"], "acknowledgement": "MSH|...Maryam", "text": "Maryam is unknown"}
        execute(
            "INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway,"
            " outcome, code, message, latency_ms, evidence)"
            " VALUES ('hl7', %s, %s, 1, 1, 1, 'hl7:SCH-01', 'TRANSIENT', 'ACK_AE_207', 'no', 12.5, %s)",
            (message_id, uuid4(), json.dumps(evidence)),
        )
    answer = api.call("GET", f"/hl7/messages/{message_id}")
    body = answer.get_json()
    assert (body["status"], body["retryCount"], body["lastErrorCode"]) == ("FAILED", 6, "TIMEOUT")
    assert body["attempts"] == [
        {
            "number": 1,
            "gateway": "hl7:SCH-01",
            "sendingAt": None,
            "finishedAt": None,
            "outcome": "TRANSIENT",
            "code": "ACK_AE_207",
            "acknowledgementCode": "AE",
            "errorCodes": ["207"],
            "latencyMs": 12.5,
        }
    ]
    listed = api.call("GET", "/hl7/messages")
    for text in (answer.get_data(as_text=True), listed.get_data(as_text=True)):
        assert "S-10042" in text
        assert "Maryam" not in text
        assert "Mansoori" not in text
        assert "PID" not in text
    unknown = api.call("GET", f"/hl7/messages/{uuid4()}")
    assert api.error(unknown) == (404, "MESSAGE_NOT_FOUND", "messageId")


def test_all_failed_are_sent_again_with_their_count_at_nought_and_their_error_gone(api: Api) -> None:
    ids = [put_failed(), put_failed("SCH-02")]
    body = api.call("POST", "/hl7/retry", json={"retryAll": "FAILED", "reason": "the line is back"}).get_json()
    assert (body["retried"], body["unchanged"], body["nextCursor"], body["results"]) == (2, 0, None, [])
    for message_id in ids:
        message = api.call("GET", f"/hl7/messages/{message_id}").get_json()
        assert (message["status"], message["retryCount"], message["lastErrorCode"]) == ("PENDING", 0, None)
    assert rows("SELECT actor, dispatch_id::text, reason FROM operator_actions WHERE action = 'retry' ORDER BY id") == [
        ("service:vitract-orders", message_id, "the line is back") for message_id in ids
    ]


def test_all_of_one_school_are_sent_again_at_the_address_without_a_version_too(api: Api) -> None:
    put_failed("SCH-02")
    mine = put_failed()
    client, headers = api.app.test_client(), {"Authorization": f"Bearer {api.token}"}
    answer = client.post("/api/hl7/retry", json={"retryAll": "FAILED", "schoolId": "SCH-01"}, headers=headers)
    assert answer.get_json()["retried"] == 1
    assert rows("SELECT id::text FROM hl7_messages WHERE status = 'PENDING'") == [(mine,)]


def test_more_than_one_request_takes_are_gone_on_with(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "MOST", 2)
    for _ in range(5):
        put_failed()
    document: dict[str, Any] = {"retryAll": "FAILED"}
    retried = []
    while True:
        body = api.call("POST", "/hl7/retry", json=document).get_json()
        retried.append(body["retried"])
        if body["nextCursor"] is None:
            break
        document["cursor"] = body["nextCursor"]
    assert retried == [2, 2, 1]


def test_of_some_messages_each_is_answered(api: Api) -> None:
    failed, cancelled, missing = put_failed(), put(status="CANCELLED"), str(uuid4())
    body = api.call("POST", "/hl7/retry", json={"messageIds": [missing, failed, cancelled]}).get_json()
    assert (body["retried"], body["unchanged"]) == (1, 2)
    said = [(r["messageId"], r["retried"], r["status"], r["code"]) for r in body["results"]]
    assert said == [
        (missing, False, None, "MESSAGE_NOT_FOUND"),
        (failed, True, "PENDING", None),
        (cancelled, False, "CANCELLED", "ILLEGAL_MOVE"),
    ]


@pytest.mark.parametrize(
    ("document", "status", "code", "field"),
    [
        ({}, 400, "MISSING_FIELD", "retryAll"),
        ({"retryAll": "FAILED", "messageIds": []}, 400, "MISSING_FIELD", "retryAll"),
        ({"retryAll": "SENT"}, 400, "UNKNOWN_STATUS", "retryAll"),
        ({"retryAll": "FAILED", "schoolId": "SCH-99"}, 404, "UNKNOWN_SCHOOL", "schoolId"),
        ({"retryAll": "FAILED", "cursor": "-1"}, 400, "INVALID_CURSOR", "cursor"),
        ({"messageIds": ["7"]}, 400, "INVALID_UUID", "messageIds[0]"),
        ({"messageIds": [str(uuid4())] * 1001}, 400, "TOO_LONG", "messageIds"),
        ({"messageIds": [], "schoolId": "SCH-01"}, 400, "INVALID_VALUE", "schoolId"),
    ],
)
def test_a_retry_that_makes_no_sense_changes_nothing(
    api: Api, document: dict[str, Any], status: int, code: str, field: str
) -> None:
    put_failed()
    assert api.error(api.call("POST", "/hl7/retry", json=document)) == (status, code, field)
    assert rows("SELECT status FROM hl7_messages") == [("FAILED",)]
