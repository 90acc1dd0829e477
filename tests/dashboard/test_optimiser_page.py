"""The optimiser's page: what it may decide and what speaks for it; turned on with a reason and a proof only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from dashboard.comm_words import told
from dispatchlog.engine.database import connected, execute
from dispatchlog.systems.outreach.optimiser import modes
from dispatchlog.systems.outreach.optimiser.choosing import EVERYBODY
from tests.dashboard.browsing import Dashboard
from tests.outreach import builders, chosen
from tests.outreach.builders import rows

PAGE = "/outreach/optimiser"


@pytest.fixture(autouse=True)
def forgets(dash: Dashboard) -> Iterator[None]:
    modes.empty()
    yield
    modes.empty()


def standing(kind: str) -> dict[str, Any]:
    return rows("SELECT * FROM comm_optimiser WHERE kind = %s", kind)[0]


def knows(kind: str, *, holds: bool, mode: str = "learning") -> None:
    """What the clock found when it last judged."""
    evidence = {
        "at": "2099-01-05T12:00:00+00:00",
        "holds": holds,
        "fails": not holds,
        "decisions": 40_000,
        "held_out": 4_000,
        "win": [0.031, 0.012 if holds else -0.004, 0.05],
        "shuffled": [0.001, -0.02, 0.02],
        "opt_outs": {"others": [2.1, 1.5, 3.0], "holdout": [2.3, 0.9, 5.1]},
        "words": ["Against the best fixed choice: +3.1 answers in 100 messages (from +1.2 to +5.0)."],
    }
    with connected():
        execute(
            "UPDATE comm_optimiser SET evidence = %s, mode = %s WHERE kind = %s", (json.dumps(evidence), mode, kind)
        )


def test_at_first_everything_is_off_and_the_page_teaches(dash: Dashboard) -> None:
    page = dash.as_("admin").get(PAGE).text
    assert page.count("tone-off") >= 3
    assert "Let it learn first" in page
    assert "Turn it on" not in page
    assert dash.as_("admin").get(f"{PAGE}?kind=colour").status_code == 404


def test_learning_begins_with_a_reason_and_only_by_who_may(dash: Dashboard) -> None:
    assert "Let it learn…" not in dash.as_("viewer").get(PAGE).text
    admin = dash.as_("admin")
    admin.get(PAGE)
    assert "Say why" in admin.post(f"{PAGE}/hour", mode="learning", version="1", follow=True).text
    assert standing("hour")["mode"] == "off"
    page = admin.post(f"{PAGE}/hour", mode="learning", version="1", reason="Refills for a year", follow=True).text
    assert "The hour: it learns now." in page
    assert "Refills for a year" in page
    [deed] = rows("SELECT * FROM operator_actions WHERE action = 'optimiser_mode'")
    assert (deed["actor"], deed["reason"]) == ("admin@example.org", "Refills for a year")
    again = admin.post(f"{PAGE}/hour", mode="off", version="1", reason="Enough", follow=True).text
    assert "somebody changed it meanwhile" in again
    assert standing("hour")["mode"] == "learning"


def test_without_a_proof_it_is_not_turned_on(dash: Dashboard) -> None:
    knows("hour", holds=False)
    admin = dash.as_("admin")
    page = admin.get(PAGE).text
    assert "Not proven" in page
    assert "Turn it on…" not in page
    assert (
        "it has not proved itself"
        in admin.post(f"{PAGE}/hour", mode="on", version="1", reason="It must be good", follow=True).text
    )
    assert standing("hour")["mode"] == "learning"


def test_with_a_proof_it_is_turned_on_and_the_proof_is_drawn_and_said(dash: Dashboard) -> None:
    knows("hour", holds=True)
    admin = dash.as_("admin")
    page = admin.get(PAGE).text
    assert "It helps" in page
    assert "+3.1 of 100 (from +1.2 to +5.0)" in page
    assert "2.3 of 1,000 (from 0.9 to 5.1)" in page
    admin.post(f"{PAGE}/hour", mode="on", version="1", reason="Proven", follow=True)
    assert standing("hour")["mode"] == "on"


def test_what_was_learned_and_decided_is_shown_without_who_it_was(dash: Dashboard) -> None:
    with connected():
        execute(
            "INSERT INTO comm_learned (kind, context, scope, scope_id, arm, tries, wins)"
            " VALUES ('hour', '', 'global', %s, '18-20', 200, 60), ('hour', '', 'global', %s, '08-10', 200, 20)",
            (EVERYBODY, EVERYBODY),
        )
    patient_id = builders.patient()
    job_id = uuid4()
    chosen.choice(job_id, patient_id, policy="holdout", arm="18-20")
    page = dash.as_("viewer").get(PAGE).text
    assert "Most from 18:00 to 20:00: 30 %" in page
    assert f"/dispatches/comm_job/{job_id}" in page
    assert "At random" in page
    assert str(patient_id) not in page


def test_texts_and_channels_have_their_own_pages(dash: Dashboard) -> None:
    template_id = builders.template()
    with connected():
        for kind, context, arm in (("content", f"{template_id}:1", "plain"), ("channel", "", "sms")):
            execute(
                "INSERT INTO comm_learned (kind, context, scope, scope_id, arm, tries, wins)"
                " VALUES (%s, %s, 'global', %s, %s, 50, 10)",
                (kind, context, EVERYBODY, arm),
            )
    viewer = dash.as_("viewer")
    texts = viewer.get(f"{PAGE}?kind=content").text
    assert "plain" in texts
    assert f"{template_id}" in texts
    assert "SMS: 20 %" in viewer.get(f"{PAGE}?kind=channel").text


def test_a_message_says_what_the_optimiser_decided_about_it() -> None:
    found = told(
        {
            "channel": {"considered": [{"chosen": True, "words": "By SMS."}]},
            "optimiser": [{"kind": "hour", "propensity": 0.23, "words": "The hour was drawn."}],
        }
    )
    assert found is not None
    assert found.because == ["The hour was drawn. Its chance was 23%."]
