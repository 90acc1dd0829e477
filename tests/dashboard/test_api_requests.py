"""What every route does alike: tokens and scopes, the size and shape of bodies, unknown routes, a database that is down."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from dashboard.api import ROUTES
from dashboard.api.errors import ERRORS
from dashboard.api.routes import MAX_BODY_BYTES
from dispatchlog.engine.database import configure, connected, execute
from dispatchlog.service_tokens import (
    SCOPES,
    TokenError,
    create_token,
    list_tokens,
    revoke_token,
    rotate_token,
    verify,
)
from dispatchlog.settings import Settings
from tests.dashboard.api_support import Api, order, row_counts, rows, running_api

API_GUIDE = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


def path_of(rule: str) -> str:
    filled = rule.removeprefix("/api/v1").replace("<lane>", "kit_registration")
    return re.sub(r"<\w+>", str(uuid4()), filled)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_refuses_a_request_without_token(api: Api, route: Any) -> None:
    answer = api.app.test_client().open(f"/api/v1{path_of(route.rule)}", method=route.method, json={})
    assert api.error(answer) == (401, "UNAUTHENTICATED", None)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_refuses_a_token_that_has_all_scopes_but_its_own(api: Api, route: Any) -> None:
    """A person's route takes no service's token at all."""
    token = create_token("other", [scope for scope in SCOPES if scope != route.scope], "tests")
    answer = api.call(route.method, path_of(route.rule), token=token, json={})
    assert api.error(answer) == (403, "FORBIDDEN_SCOPE", None)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope], ids=lambda route: route.name)
def test_every_route_accepts_a_token_that_has_only_its_scope(api: Api, route: Any) -> None:
    token = create_token("only", [route.scope], "tests")
    answer = api.call(route.method, path_of(route.rule), token=token, json={})
    assert answer.status_code not in (401, 403)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer dlk_",
        "Basic dlk_{0}_{1}",
        "Bearer dlk_{0}_{2}",
        "Bearer dlk_{2:.12}_{1}",
        "Bearer dlk_{0}_{1}x",
        "Bearer {1}",
    ],
)
def test_a_token_that_is_not_exactly_right_is_refused(api: Api, header: str) -> None:
    _, token_id, secret = api.token.split("_")
    value = header.format(token_id, secret, "0" * 64)
    answer = api.call("GET", f"/kit-orders/{uuid4()}", headers={"Authorization": value})
    assert api.error(answer)[:2] == (401, "UNAUTHENTICATED")


def test_a_revoked_token_is_refused_with_the_next_request(api: Api) -> None:
    assert api.call("GET", f"/kit-orders/{uuid4()}").status_code == 404
    revoke_token("vitract-orders")
    assert api.error(api.call("GET", f"/kit-orders/{uuid4()}"))[:2] == (401, "UNAUTHENTICATED")
    with pytest.raises(TokenError):
        revoke_token("vitract-orders")


def test_a_rotated_token_works_until_its_time_is_over(api: Api) -> None:
    new = rotate_token("vitract-orders", created_by="tests", overlap_seconds=3600)
    assert verify(new) is not None
    assert verify(api.token) is not None
    with connected():
        execute("UPDATE service_tokens SET revoked_at = now() - interval '1 s' WHERE revoked_at IS NOT NULL")
    assert verify(api.token) is None
    assert verify(new) is not None


def test_a_live_name_is_given_once_and_again_after_revocation(api: Api) -> None:
    with pytest.raises(TokenError) as refused:
        create_token("vitract-orders", ["orders:read"], "tests")
    assert refused.value.code == "TOKEN_EXISTS"
    revoke_token("vitract-orders")
    create_token("vitract-orders", ["orders:read"], "tests")
    assert len(list_tokens()) == 2


@pytest.mark.parametrize(("name", "scopes"), [("Two Words", ["orders:read"]), ("ok", ["admin"]), ("ok", [])])
def test_a_token_needs_a_plain_name_and_known_scopes(api: Api, name: str, scopes: list[str]) -> None:
    with pytest.raises(TokenError):
        create_token(name, scopes, "tests")


def test_the_database_holds_no_secret(api: Api) -> None:
    secret = api.token.rpartition("_")[2]
    [(stored,)] = rows("SELECT row_to_json(t)::text FROM service_tokens t")
    assert secret not in stored
    assert rows("SELECT count(*) FROM operator_actions WHERE detail::text LIKE %s", f"%{secret}%") == [(0,)]


def test_the_use_of_a_token_is_noted_at_most_once_a_minute(api: Api) -> None:
    api.call("GET", f"/kit-orders/{uuid4()}")
    [first] = list_tokens()
    api.call("GET", f"/kit-orders/{uuid4()}")
    [second] = list_tokens()
    assert first.last_used_at is not None
    assert datetime.now(UTC) - first.last_used_at < timedelta(minutes=1)
    assert second.last_used_at == first.last_used_at


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"orderNumber": "\\ud800"}', b"[" * 100_000, b"{}{}"])
def test_a_body_that_is_not_json_is_refused(api: Api, body: bytes) -> None:
    before = row_counts()
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", data=body, content_type="application/json")
    assert api.error(answer) == (400, "INVALID_JSON", None)
    assert row_counts() == before


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", data=body, content_type="application/json")
    assert api.error(answer) == (400, "WRONG_TYPE", None)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('{"orderNumber": "VT-1", "orderNumber": "VT-2"}', "orderNumber"),
        ('{"orderNumber": "VT-1", "order\\u004eumber": "VT-1"}', "orderNumber"),
        ('{"orderNumber": "VT-1", "kits": [{"kitId": "A"}, {"kitId": "B", "kitId": "C"}]}', "kits[1].kitId"),
        ('{"orderNumber": "VT-1", "kits": [], "kits": [{"kitId": "A"}]}', "kits"),
    ],
)
def test_a_field_that_stands_twice_in_one_object_is_refused(api: Api, body: str, place: str) -> None:
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", data=body, content_type="application/json")
    assert api.error(answer) == (400, "REPEATED_FIELD", place)
    assert row_counts()["orders"] == 0


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_of_another_type_is_refused(api: Api, content_type: str) -> None:
    body = json.dumps(order())
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", data=body, content_type=content_type)
    assert api.error(answer) == (415, "UNSUPPORTED_MEDIA_TYPE", None)


def test_a_body_over_the_limit_is_refused_and_nothing_is_stored(api: Api) -> None:
    before = row_counts()
    body = json.dumps(order()).ljust(MAX_BODY_BYTES + 1)
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", data=body, content_type="application/json")
    assert api.error(answer) == (413, "BODY_TOO_LARGE", None)
    assert row_counts() == before


def test_a_body_of_exactly_the_limit_is_taken(api: Api) -> None:
    body = json.dumps(order()).ljust(MAX_BODY_BYTES)
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", data=body, content_type="application/json")
    assert answer.status_code == 200


def test_a_body_of_undeclared_length_is_read_no_further_than_the_limit(api: Api) -> None:
    stream = io.BytesIO(json.dumps(order()).encode().ljust(50 * MAX_BODY_BYTES))
    chunked = {"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", content_type="application/json", environ_overrides=chunked)
    assert api.error(answer) == (413, "BODY_TOO_LARGE", None)
    assert stream.tell() <= 2 * MAX_BODY_BYTES


@pytest.mark.parametrize("path", ["/nothing", "/kit-orders", "/kit-orders/1/", "/kit-orders/a/b/c"])
def test_an_unknown_route_answers_json(api: Api, path: str) -> None:
    assert api.error(api.call("GET", path)) == (404, "NOT_FOUND", None)


def test_another_method_is_refused_and_told_which_ones_there_are(api: Api) -> None:
    answer = api.call("DELETE", f"/kit-orders/{uuid4()}")
    assert api.error(answer) == (405, "METHOD_NOT_ALLOWED", None)
    assert answer.headers["Allow"] == "GET, HEAD, PUT"


def test_an_unknown_parameter_is_refused(api: Api) -> None:
    assert api.error(api.call("GET", "/dispatches?kye=1")) == (400, "UNKNOWN_FIELD", "kye")


def test_no_answer_may_be_cached(api: Api) -> None:
    assert api.call("GET", f"/kit-orders/{uuid4()}").headers["Cache-Control"] == "no-store"


def test_a_database_that_is_down_is_said_so_with_a_time_to_retry(api: Api) -> None:
    configure("postgresql://nobody@127.0.0.1:1/none", role="", name="api test")
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", json=order())
    assert api.error(answer) == (503, "DATABASE_UNAVAILABLE", None)
    assert int(answer.headers["Retry-After"]) > 0


def test_a_fault_tells_its_trace_id_and_nothing_else(api: Api, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute("ALTER TABLE order_registrations RENAME COLUMN sources TO secret_column")
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", json=order())
    assert api.error(answer) == (500, "INTERNAL", None)
    assert "secret_column" not in answer.get_data(as_text=True)
    assert row_counts()["orders"] == 0


def test_the_guide_lists_every_code_with_its_status() -> None:
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \|", API_GUIDE.read_text("utf-8"), re.MULTILINE))
    assert {code: int(status) for code, status in listed.items()} == {code: e[0] for code, e in ERRORS.items()}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/comm/campaigns/emergency-stop", "POST"),
        ("GET", "/comm/campaigns/emergency-stop", "POST"),
        ("HEAD", "/comm/segments/count", "POST"),
        ("OPTIONS", "/comm/segments/fields", "GET, HEAD"),
    ],
)
def test_a_path_without_a_value_takes_its_own_methods_alone(api: Api, method: str, path: str, allowed: str) -> None:
    answer = api.call(method, path, json={} if method == "PUT" else None)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/hl7/retry", {"retryAll": "FAILED", "schoolId": None}, 200),
        (
            "PATCH",
            "/patients/0190a7a8-0000-7000-8000-00000000dead/comm-preferences",
            {"email_address": None, "sms_number": None},
            404,
        ),
    ],
)
def test_a_null_where_a_text_may_be_absent_is_read(
    api: Api, method: str, path: str, body: dict[str, Any], expected: int
) -> None:
    assert api.call(method, path, json=body).status_code == expected


def test_the_description_says_what_a_line_is_as_the_api_reads_it(api: Api) -> None:
    document = api.call("GET", "/openapi.json").get_json()
    pattern = document["components"]["schemas"]["HoldDocument"]["properties"]["reason"]["pattern"]
    for text in ("maintenance", "two\nlines", "a\x7f", "a\x85b", "a\u2028b", "Grüße, 5 °C"):
        answer = api.call("PUT", "/holds/gateway:smtp", json={"reason": text})
        assert (answer.status_code == 200) == bool(re.fullmatch(pattern, text)), text
