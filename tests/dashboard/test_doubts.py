"""The in-doubt desk: which doubts it shows in which order, with what evidence, and what an answer does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from dashboard import doubt_queries
from dashboard.doubt_queries import Place, list_doubts
from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.errors import OutcomeUnknown
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.lanes import Lane
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.browsing import Dashboard, Visitor, action, page_of
from tests.dashboard.samples import form_in, registration_in_doubt, the_row
from tests.engine.lane import enqueue, install, parcel_lane
from tests.engine.test_replay import settle

FORMS = "health_information"


@pytest.fixture
def parcels(settings_env: Settings) -> Any:
    """A second system's lane, with a provider that can be asked."""
    install(settings_env.database_url)
    lane = parcel_lane(FakeGateway(GatewayKind.LOOKUP, name="post"))
    registry.register(lane)
    yield lane
    registry.unregister(lane)


def lost_parcel(lane: Lane, **columns: Any) -> UUID:
    (dispatch_id,) = enqueue(lane, search_keys=["PARCEL-1"], **columns)
    settle(lane, OutcomeUnknown("the line broke", code="POST_LOST"))
    return dispatch_id


def cards(text: str) -> list[str]:
    """The desk's dispatches in their order."""
    return re.findall(r'<h2 id="name-[^"]+"><a [^>]+>([^<]+)</a>', text)


def answer(visitor: Visitor, row: Any, name: str, lane: str = FORMS, **fields: str) -> str:
    """Answer as the desk's form does: the page that follows."""
    back = {"return": "back", "back": "/in-doubt", "claim_token": str(row["claim_token"])}
    return visitor.post(action(row, name, lane), follow=True, **{**back, **fields}).text


def expire(row: Any, hours: int) -> None:
    with transaction("test"):
        execute(
            "UPDATE health_information_dispatch_logs SET expires_at = now() + %s * interval '1 hour' WHERE id = %s",
            (hours, row["id"]),
        )


def test_an_empty_desk_teaches(dash: Dashboard) -> None:
    text = dash.as_("viewer").get("/in-doubt").text
    assert "Nothing is in doubt" in text
    assert "Message-ID" in text


def test_a_card_holds_the_evidence(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT", email="ada.lovelace@example.org")
    text = dash.as_("support").get("/in-doubt").text
    assert cards(text) == ["VO-20418 · KIT-VO-20418"]
    for words in (
        "Try 1: no answer known",
        "SMTP_NO_REPLY",
        "The connection broke after the message was handed over",
        "354 End data with",
        "Look for this Message-ID",
        f"{row['idempotency_key']}@",
        "a•••@example.org",
    ):
        assert words in text, words
    assert "ada.lovelace@" not in text


def test_neither_answer_is_favoured(dash: Dashboard) -> None:
    form_in("IN_DOUBT")
    text = dash.as_("support").get("/in-doubt").text
    answers = text[text.index('class="acts answers"') :]
    assert "It was sent" in answers
    assert "It was not sent, send again" in answers
    assert "primary" not in answers[: answers.index("</article>")]


def test_the_menu_counts_the_doubts(dash: Dashboard) -> None:
    viewer = dash.as_("viewer")
    assert "nav-count" not in viewer.get("/dispatches").text
    form_in("IN_DOUBT")
    assert '<span class="nav-count">1</span>' in viewer.get("/dispatches").text


def test_escalated_first_then_by_time_left_then_the_oldest_and_the_useless_last(dash: Dashboard) -> None:
    _, urgent, later, raised, useless = (form_in("IN_DOUBT", number=f"VO-{n}") for n in range(1, 6))
    expire(useless, -1)
    expire(urgent, 2)
    expire(later, 5)
    support = dash.as_("support")
    support.post(f"/in-doubt/{FORMS}/{raised['id']}/escalate", reason="no log", claim_token=str(raised["claim_token"]))
    text = support.get("/in-doubt").text
    assert [name.partition(" ")[0] for name in cards(text)] == ["VO-4", "VO-2", "VO-3", "VO-1", "VO-5"]
    assert cards(support.get("/in-doubt?escalated=1").text) == ["VO-4 · KIT-VO-4"]


def test_pages_follow_each_other_without_gaps_or_repeats(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [form_in("IN_DOUBT", number=f"VO-{n}") for n in range(7)]
    for number, row in enumerate(rows[1:5]):
        expire(row, number)  # the first of them is of no use any more
    support = dash.as_("support")
    for row in rows[5:]:
        support.post(f"/in-doubt/{FORMS}/{row['id']}/escalate", reason="no", claim_token=str(row["claim_token"]))
    monkeypatch.setattr(doubt_queries, "PAGE_DOUBTS", 2)
    seen: list[str] = []
    address: str | None = "/in-doubt"
    while address:
        text = support.get(address).text
        seen += [name.partition(" ")[0] for name in cards(text)]
        following = re.search(r'href="([^"]+)" rel="next"', text)
        address = following.group(1).replace("&amp;", "&") if following else None
    assert seen == ["VO-5", "VO-6", "VO-2", "VO-3", "VO-4", "VO-0", "VO-1"]


def test_a_place_reads_back_as_it_was_written() -> None:
    at = datetime(2026, 3, 1, 12, 30, 5, 123456, tzinfo=UTC)
    for place in (Place(2, None, at, UUID(int=5)), Place(0, at + timedelta(days=2), at, UUID(int=6))):
        assert Place.parse(str(place)) == place


@pytest.mark.parametrize("query", ["at=nonsense", "at=1.never.x.y", "at=0.9999999999999999999999.1.ab", "lane=nope"])
def test_what_cannot_be_read_is_named_and_the_desk_shown(dash: Dashboard, query: str) -> None:
    form_in("IN_DOUBT")
    text = dash.as_("viewer").get(f"/in-doubt?{query}").text
    assert "Part of the filter was left out" in text
    assert len(cards(text)) == 1


def test_an_answer_settles_it_and_shows_the_next(dash: Dashboard) -> None:
    first, second = form_in("IN_DOUBT", number="VO-1"), form_in("IN_DOUBT", number="VO-2")
    support = dash.as_("support")
    text = support.get("/in-doubt").text
    assert f'name="back" value="/in-doubt#doubt-{second["id"]}"' in text
    text = answer(support, first, "confirm-sent", reason="it is in the log")
    assert "Marked as sent, on your word." in text
    assert cards(text) == ["VO-2 · KIT-VO-2"]
    text = answer(support, second, "confirm-not-sent", reason="it is not in the log")
    assert "Queued to be sent again." in text
    assert "Nothing is in doubt" in text


@pytest.mark.parametrize("name", ["confirm-sent", "confirm-not-sent"])
def test_an_answer_needs_a_reason_and_stays_on_the_desk(dash: Dashboard, name: str) -> None:
    row = form_in("IN_DOUBT")
    text = answer(dash.as_("support"), row, name, reason=" ")
    assert "Say how you know" in text
    assert cards(text) == ["VO-20418 · KIT-VO-20418"]


def test_an_answer_about_an_older_try_changes_nothing(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    text = answer(dash.as_("support"), row, "confirm-sent", reason="log", claim_token=str(UUID(int=1)))
    assert "it has been tried again since this was shown" in text
    assert the_row(FORMS)["in_doubt"]


def test_escalating_is_shown_logged_and_taken_back(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    support = dash.as_("support")
    base = f"/in-doubt/{FORMS}/{row['id']}"
    token = {"claim_token": str(row["claim_token"])}
    assert "Say what you found out" in support.post(f"{base}/escalate", follow=True, reason="", **token).text
    text = support.post(f"{base}/escalate", follow=True, reason="ask ann@example.org", **token).text
    assert "Escalated</strong> by support@example.org" in text
    assert "“ask a•••@example.org”" in text
    assert "Escalated</span> by support@example.org" in support.get(f"/dispatches/{FORMS}/{row['id']}").text
    assert "Escalated</strong> <span>“ask a•••@example.org”" in support.get(f"/dispatches/{FORMS}/{row['id']}").text
    assert "Say why it need not be" in support.post(f"{base}/withdraw", follow=True, reason="", **token).text
    text = support.post(f"{base}/withdraw", follow=True, reason="found it", **token).text
    assert "The escalation was taken back" in text
    assert "Escalated</strong> by" not in text
    with connected():
        kept = fetch_dicts(
            "SELECT action, actor FROM operator_actions WHERE dispatch_id = %s ORDER BY id", (row["id"],)
        )
    assert [entry["action"] for entry in kept] == ["escalate", "withdraw_escalation"]


def test_a_doubt_settled_meanwhile_cannot_be_escalated(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    support = dash.as_("support")
    answer(support, row, "confirm-sent", reason="log")
    posted = {"reason": "no", "claim_token": str(row["claim_token"])}
    text = support.post(f"/in-doubt/{FORMS}/{row['id']}/escalate", follow=True, **posted).text
    assert "Nothing changed: it is SENT now, and not in doubt any more." in text


def test_a_provider_that_can_be_asked_is_asked_in_one_click(dash: Dashboard, parcels: Lane) -> None:
    dispatch_id = lost_parcel(parcels)
    support = dash.as_("support")
    text = support.get("/in-doubt?lane=parcel").text
    assert "Ask the provider" in text
    gateway: Any = parcels.gateway
    gateway.script_look_ups(LookUpAnswer.FOUND)
    row = {"id": dispatch_id, "claim_token": UUID(int=0)}
    assert "The provider has it. It is marked as sent." in answer(support, row, "look-up", "parcel")


def test_a_doubt_whose_key_is_known_offers_a_retry(dash: Dashboard) -> None:
    row = registration_in_doubt()
    support = dash.as_("support")
    assert action(row, "retry", "kit_registration") in support.get("/in-doubt").text
    assert "Queued to be registered now." in answer(support, row, "retry", "kit_registration", reason="mended")


def test_lanes_stand_together_or_apart(dash: Dashboard, parcels: Lane) -> None:
    form_in("IN_DOUBT")
    lost_parcel(parcels)
    viewer = dash.as_("viewer")
    assert cards(viewer.get("/in-doubt").text) == ["VO-20418 · KIT-VO-20418", "PARCEL-1"]
    assert cards(viewer.get("/in-doubt?lane=parcel").text) == ["PARCEL-1"]


def test_who_may_only_look_sees_no_answers(dash: Dashboard) -> None:
    form_in("IN_DOUBT")
    text = dash.as_("auditor").get("/in-doubt").text
    assert "confirm-sent" not in text
    assert "Your role can look at it only" in text


def test_the_list_of_doubts_walks_its_index(dash: Dashboard) -> None:
    """However many there are: no sort over all of a lane's doubts."""
    form_in("IN_DOUBT")
    lane = registry.lane(FORMS)
    with connected():
        list_doubts([lane])
        execute("SET enable_seqscan = off")
        execute("SET enable_bitmapscan = off")
        plan = "\n".join(
            row["QUERY PLAN"]
            for row in fetch_dicts(
                f"EXPLAIN SELECT t.id FROM {lane.table} t WHERE t.in_doubt AND (coalesce(t.expires_at,"
                " 'infinity'::timestamptz), coalesce(t.claimed_at, t.created_at), t.id) > ('infinity', now(),"
                " '00000000-0000-0000-0000-000000000000'::uuid)"
                " ORDER BY coalesce(t.expires_at, 'infinity'::timestamptz), coalesce(t.claimed_at, t.created_at), t.id"
                " LIMIT 11"
            )
        )
        execute("RESET enable_seqscan")
        execute("RESET enable_bitmapscan")
    assert "_doubts" in plan
    assert "Sort" not in plan


def test_a_doubt_is_escalated_from_its_own_page(dash: Dashboard) -> None:
    row = form_in("IN_DOUBT")
    support = dash.as_("support")
    text = support.get(f"{page_of(row)}?back=/dispatches").text
    address = f"/in-doubt/health_information/{row['id']}/escalate"
    assert f'action="{address}"' in text
    fields = {"return": "dispatch", "back": "/dispatches", "claim_token": str(row["claim_token"])}
    answer = support.post(address, reason="the log shows nothing", **fields)
    assert answer.location == f"{page_of(row)}?back=/dispatches"
    text = support.get(answer.location).text
    assert "“the log shows nothing”" in text
    assert "Escalate again" in text
    assert f'action="{address}"' not in dash.as_("viewer").get(page_of(row)).text
