"""Items 15, 16, 20, 24, 28 and 35: what comes in, what goes out, and the lists that keep both to what was meant."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest
from pydantic import BaseModel

from dashboard.api import ROUTES
from dashboard.api.routes import Route
from dashboard.export import ListFile
from dashboard.ticket_export import TicketsFile
from dispatchlog.engine.database import connected, fetch_one
from dispatchlog.service_tokens import SCOPES, create_token
from tests.dashboard.browsing import Dashboard
from tests.dashboard.samples import form_in
from tests.dashboard.test_access import VALUES
from tests.dashboard.ticket_accounts import link_accounts

ROOT = Path(__file__).parents[2]
DASHBOARD = sorted((ROOT / "dashboard").rglob("*.py"))

# --- 15: what answers may hold

# Fields whose name sounds like a secret, with what they are.
MEANT = {
    "token",  # a person's token and a socket's ticket, at the routes that make one
    "deliveryCode",  # that a code was wanted and when, never the code
    "keys",
}
# Parts of answers that are as somebody wrote them, or counts by name; their routes say what may stand in them.
FREE = {
    "ab_variants", "acknowledgements", "calendar", "confirmed", "control", "cost_by_channel", "decision", "draft", "effect",
    "exits", "fields", "frequency", "languages", "not_reminded", "operators", "problems", "provider_template", "reachable",
    "reminded", "rows", "rules", "sources", "steps", "stopped", "test", "treated",
}  # fmt: skip
SECRET = re.compile(r"pass|secret|hash|sealed|pem|key|token|factor|uniq|deliverycode", re.IGNORECASE)


def properties(schema: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every property of a schema with what it is, those of its parts too."""
    if isinstance(schema, dict):
        for key, value in (schema.get("properties") or {}).items():
            yield key, value
        for key, value in schema.items():
            yield from properties(value, key)
    elif isinstance(schema, list):
        for each in schema:
            yield from properties(each, name)


def is_free(said: Any) -> bool:
    """Whether anything may stand in it."""
    parts = [said, said.get("items", {}), *said.get("anyOf", [])]
    return any(part.get("type") == "object" and "properties" not in part for part in parts if isinstance(part, dict))


def test_item_15_answers_are_lists_of_fields_and_none_of_them_is_a_secret() -> None:
    named, free = set(), set()
    for route in ROUTES:
        assert issubclass(route.answer, BaseModel), route.name
        for name, said in properties(route.answer.model_json_schema(by_alias=True, mode="serialization")):
            if SECRET.search(name):
                named.add(name)
            if is_free(said):
                free.add(name)
    assert named <= MEANT
    assert free <= FREE


# --- 16: what documents may hold


def documents(model: type[BaseModel], found: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """The model and all its parts."""
    if model not in found:
        found.add(model)
        for field in model.model_fields.values():
            parts = [field.annotation]
            while parts:
                part = parts.pop()
                parts.extend(get_args(part))
                if isinstance(part, type) and issubclass(part, BaseModel):
                    documents(part, found)
    return found


def test_item_16_no_document_takes_a_field_that_it_does_not_name() -> None:
    found: set[type[BaseModel]] = set()
    for route in ROUTES:
        if route.document is not None:
            documents(route.document, found)
    assert len(found) > 40
    assert [model.__name__ for model in found if model.model_config.get("extra") != "forbid"] == []


def test_item_16_no_page_hands_a_whole_form_on_to_what_writes() -> None:
    """A form's fields are read by name; `**request.form` would let a visitor name any column or argument."""
    whole = [
        (path.name, call.lineno)
        for path in DASHBOARD
        for call in calls(path)
        for keyword in call.keywords
        if keyword.arg is None and re.search(r"request\.(form|args|values|json)|get_json", ast.unparse(keyword.value))
    ]
    whole += [
        (path.name, call.lineno) for path in DASHBOARD for call in calls(path) if ast.unparse(call.func) == "setattr"
    ]
    assert whole == []


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


# --- 20: SQL

HOSTILE = (
    "' OR '1'='1",
    "\\'; DROP TABLE staff_users; --",
    "1) UNION SELECT password FROM staff_users --",
    "%s %(x)s {0} $1 :a",
    "\x00%'",
)
PARAMETERS = (
    "after", "age", "at", "before", "cause", "channel", "courier", "days", "escalated", "family", "find", "format", "found",
    "from", "gateway", "kind", "lane", "language", "left", "like", "part", "pharmacy", "place", "purpose", "q", "result",
    "route", "sample", "saved", "school", "segment", "show", "sort", "state", "status", "subject", "to", "type", "unread",
    "within", "who", "what", "clinic", "provider",
)  # fmt: skip
# Read where a name leads on or a stranger proves themselves; they have tests of their own.
ELSEWHERE = {"next", "hub.mode", "hub.verify_token", "hub.challenge"}


def test_item_20_every_parameter_that_a_page_reads_is_tried() -> None:
    read = set()
    for path in DASHBOARD:
        read |= set(re.findall(r"request\.args\.get(?:list)?\(\"([^\"]+)\"", path.read_text()))
    assert read <= {*PARAMETERS, *ELSEWHERE}


def test_item_20_no_page_s_parameter_reaches_the_database_as_sql(dash: Dashboard) -> None:
    link_accounts()
    row = form_in("FAILED")
    known = {**VALUES, "dispatch_id": row["id"]}
    failed = []
    for role in ("admin", "doctor"):
        visitor = dash.as_(role)
        for rule in dash.app.url_map.iter_rules():
            if rule.endpoint.startswith("api.") or "static" in rule.endpoint or "GET" not in (rule.methods or ()):
                continue
            with dash.app.test_request_context():
                address = dash.app.url_map.bind("localhost").build(rule.endpoint, {n: known[n] for n in rule.arguments})
            for said in HOSTILE:
                answer = visitor.get(address, query_string=dict.fromkeys(PARAMETERS, said))
                if answer.status_code >= 500:
                    failed.append((role, rule.rule, said, answer.status_code))
    assert failed == []
    assert searched(dash) == []
    with connected():
        assert fetch_one("SELECT count(*) > 5 FROM staff_users") == (True,)


def searched(dash: Dashboard) -> list[tuple[str, str, int]]:
    """What came of searches, whose words are in the body."""
    admin = dash.as_("admin")
    failed = []
    for rule in dash.app.url_map.iter_rules():
        if rule.endpoint.rpartition(".")[2] in ("search", "find") and not rule.arguments:
            for said in HOSTILE:
                status = admin.post(rule.rule, q=said, subject=said, find=said).status_code
                if status >= 500:
                    failed.append((rule.rule, said, status))
    return failed


def test_item_20_no_parameter_or_path_of_the_api_reaches_the_database_as_sql(dash: Dashboard) -> None:
    token = create_token("all", list(SCOPES), "test")
    failed = []
    for route in ROUTES:
        for said in HOSTILE:
            for answer in asked(dash, route, said, token):
                if answer.status_code >= 500 or answer.status_code == 401:
                    failed.append((route.name, said, answer.status_code))
    assert failed == []


def asked(dash: Dashboard, route: Route, said: str, token: str) -> Iterator[Any]:
    headers = {"Authorization": f"Bearer {token}"}
    path = re.sub(r"<\w+>", str(uuid4()), route.rule.replace("<lane>", "kit_registration"))
    client = dash.app.test_client()
    for name in route.parameters:
        yield client.open(path, method=route.method, query_string={name: said}, headers=headers, json={})
    if "<" in route.rule:
        odd = re.sub(r"<\w+>", lambda _: said.replace("/", ""), route.rule)
        yield client.open(odd, method=route.method, headers=headers, json={})


# --- 24: files for spreadsheets


def test_item_24_every_csv_file_is_written_by_the_module_that_escapes_cells() -> None:
    writes = [path.name for path in DASHBOARD if re.search(r"^\s*(import csv|from csv import)", path.read_text(), re.M)]
    assert writes == ["csv_file.py"]
    given = {}
    for path in DASHBOARD:
        for call in calls(path):
            said = ast.unparse(call)
            if re.fullmatch(r"attachment|Response", ast.unparse(call.func)) and re.search(r"'csv'|text/csv", said):
                given[path.name] = ast.unparse(call.args[0])
    assert {"audit.py", "bulk.py", "campaigns.py", "courier_analytics.py", "tickets.py"} <= set(given)
    # A list's file makes its lines in the class that all of them share.
    assert {name: lines for name, lines in given.items() if not re.match(r"csv_pages\(|\w+File\(", lines)} == {}
    assert issubclass(TicketsFile, ListFile)
    assert "csv_text(self.csv_rows(" in inspect.getsource(ListFile)


# --- 28: lines of the log

SAYS = """
import structlog
from dispatchlog.logs import configure_logs
configure_logs()
structlog.get_logger().info("SEEN", said="a\\r\\nFORGED level=info \\u2028 \\x1b[31m", name="b\\nFORGED")
try:
    raise ValueError("c\\r\\nFORGED")
except ValueError:
    structlog.get_logger().exception("FAILED")
"""


def test_item_28_nothing_that_is_logged_begins_a_line_of_its_own() -> None:
    ended = subprocess.run([sys.executable, "-c", SAYS], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = ended.stderr.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["SEEN", "FAILED"]
    assert "\x1b" not in ended.stderr


# --- 35: messages of the broker

# Actor -> what its messages carry: ids, names of lanes, counts; of a report its id, and the rest sealed.
MESSAGES = {
    "run_bulk": ["run_id"],
    "drain": ["lane_name"],
    "hl7_messages": ["lane_name"],
    "health_information_dispatch": ["lane_name"],
    "courier_events": ["_name"],
    "courier_polls": ["_name"],
    "outreach_events": ["_name"],
    "outreach_inbound": ["_name"],
    "outreach_campaigns": ["_name"],
    "auto_register_practitioner_order_kits": ["order_id", "orderId", "source"],
    "report_pharmacy_order": ["order", "source", "tries"],
    "capture_pharmacy_payment": ["payment", "source", "tries"],
    "mark_pharmacy_order_ready": ["order", "source", "tries"],
    "report_core_event": ["event", "tries"],
    "schedule_communication": ["request", "tries"],
}


def test_item_35_messages_carry_ids_and_names_of_lanes_and_nothing_in_the_clear() -> None:
    from tasks import broker

    assert {name: [*inspect.signature(actor.fn).parameters] for name, actor in broker.actors.items()} == MESSAGES


def test_item_35_what_is_sealed_for_the_broker_shows_its_id_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from dispatchlog.settings import get_settings
    from tasks import sealed_event, sealed_report, sealed_request

    monkeypatch.setenv("DISPATCHLOG_SECRET_KEY", "a secret for tests only")
    get_settings.cache_clear()
    canary, known = "Canaria Canarelli", str(uuid4())
    for message in (
        sealed_report({"orderId": known, "patient": {"name": canary}}),
        sealed_event({"event_id": known, "patient": {"name": canary}}, source="clinic"),
        sealed_request({"patient_id": known, "body": canary}, source="clinic"),
    ):
        assert "sealed" in message
        assert canary not in json.dumps(message)
        assert set(message) <= {"orderId", "eventId", "id", "sealed", "source"}
    get_settings.cache_clear()
