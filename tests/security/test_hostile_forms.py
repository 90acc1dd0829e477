"""Item 42: whatever somebody who is signed in writes into the fields of a form, no page of it ends in a fault."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from uuid import uuid4

from dispatchlog.systems.hl7 import schools
from tests.dashboard.browsing import Dashboard
from tests.dashboard.samples import form_in
from tests.dashboard.test_access import ENDING_SESSIONS, VALUES
from tests.dashboard.ticket_accounts import link_accounts
from tests.outreach import builders

ROOT = Path(__file__).parents[2]
# What a column, a parser or a spreadsheet may stumble over.
HOSTILE = (
    "\x00",
    "a\x00b",
    "9" * 400,
    "-9223372036854775809",
    "2147483648",
    "1e999",
    "NaN",
    "²",
    "١٢",
    "\u202e\ufeff",
    "😀" * 300,
    "x" * 5_000,
    "%s%(x)s{0}{{ 7*7 }}",
    "=cmd|' /C calc'!A0",
    "a\r\nSet-Cookie: b=c",
    "[" * 500,
    '{"a": {"$ne": 1}}',
    "0000-00-00",
    "9999-12-31T23:59:60",
    "1-2-3-4",
    "../../etc/passwd",
    "",
)
# So that what comes after the first field is read as well.
# Where a page leads afterwards, which is judged before anything else; and what are no fields.
ELSEWHERE = {"csrf_token", "next", "back", "color-scheme", "referrer", "List-Unsubscribe"}
PLAUSIBLE = (
    "1",
    "on",
    "a reason that is long enough",
    "retry",
    "2026-03-01",
    "sms",
    "en",
    "SCH-01",
    str(uuid4()),
    "[]",
)


def field_names() -> list[str]:
    """Of every form, as its template and whoever reads it have them."""
    found = set()
    for path in sorted((ROOT / "dashboard" / "templates").rglob("*.html")):
        found |= set(re.findall(r'\bname="([A-Za-z_][\w.-]*)"', path.read_text()))
    for path in sorted((ROOT / "dashboard").glob("*.py")):
        found |= set(re.findall(r'form(?:\.get(?:list)?\(|\[)"([\w.-]+)"', path.read_text()))
    return sorted(found - ELSEWHERE)


def test_item_42_no_form_brings_its_page_down(dash: Dashboard) -> None:
    names = field_names()
    assert len(names) > 80
    link_accounts()
    schools.add_school("SCH-01", "First school", actor="test")
    known = {**VALUES, "dispatch_id": form_in("FAILED")["id"], "patient_id": builders.patient()}
    visitor = dash.as_("admin")
    chance = random.Random(1)  # noqa: S311  the same in every run
    failed, answers = [], Counter[int]()
    for rule in sorted(dash.app.url_map.iter_rules(), key=lambda rule: rule.rule):
        signs_out = rule.endpoint in ENDING_SESSIONS or rule.endpoint.startswith(("api.", "account.", "security."))
        if signs_out or "POST" not in (rule.methods or ()):
            continue
        with dash.app.test_request_context():
            address = dash.app.url_map.bind("localhost").build(rule.endpoint, {n: known[n] for n in rule.arguments})
        for _ in range(2):
            form = {name: chance.choice(PLAUSIBLE) for name in names}
            form |= {name: chance.choice(HOSTILE) for name in chance.sample(names, 12)}
            answer = visitor.post(address, **form)
            answers[answer.status_code] += 1
            if answer.status_code >= 500:
                failed.append((rule.rule, answer.status_code, {n: v[:20] for n, v in form.items() if n in answer.text}))
    assert failed == []
    assert answers[303] > 40, "most of them were read, and not refused before that"
