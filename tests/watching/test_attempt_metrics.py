"""Attempts as metrics: each is counted once, when it has ended, with how it ended and how long it took."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from dashboard import metrics
from dispatchlog.engine import attempt_counts
from dispatchlog.engine.attempt_counts import keep_all_attempt_counts, keep_attempt_counts
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one
from dispatchlog.settings import Settings
from tests.dashboard.browsing import Dashboard
from tests.dashboard.samples import fail_for_now, form_in, lose_answer, make_due, place_order, refuse, send_due
from tests.watching.scraping import scrape

FORMS, KITS = "health_information", "kit_registration"


@pytest.fixture(autouse=True)
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CACHED_SECONDS", 0.0)


def count() -> None:
    with connected():
        keep_all_attempt_counts(started_by="test")


def test_attempts_are_counted_by_how_they_ended(dash: Dashboard) -> None:
    with connected():
        form_in("SENT")
        form_in("FAILED", number="VO-2")
        form_in("IN_DOUBT", number="VO-3")
    assert "dispatchlog_attempts_total" not in scrape(dash)
    count()
    samples = scrape(dash)
    forms = {labels: n for labels, n in samples["dispatchlog_attempts_total"].items() if FORMS in labels}
    # class, gateway, lane, outcome
    assert sorted(forms) == [
        ("5xx", "smtp", FORMS, "PERMANENT"),
        ("accepted", "smtp", FORMS, "ACCEPTED"),
        ("other", "smtp", FORMS, "UNKNOWN"),
    ]
    assert set(forms.values()) == {1}
    assert samples["dispatchlog_uncounted_attempts"] == {(): 0}
    count()
    assert scrape(dash)["dispatchlog_attempts_total"] == samples["dispatchlog_attempts_total"]


def test_how_long_they_took_is_a_histogram_by_gateway(dash: Dashboard) -> None:
    with connected():
        form_in("SENT")
        execute("UPDATE dispatch_attempts SET latency_ms = 300 WHERE lane = %s", (FORMS,))
    count()
    samples = scrape(dash)
    buckets = {labels: n for labels, n in samples["dispatchlog_attempt_seconds_bucket"].items() if "smtp" in labels}
    assert {labels: n for labels, n in buckets.items() if n} == {
        ("smtp", end): 1 for end in ("0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf")
    }
    assert samples["dispatchlog_attempt_seconds_sum"][("smtp",)] == pytest.approx(0.3)
    assert samples["dispatchlog_attempt_seconds_count"][("smtp",)] == 1


def test_an_attempt_after_the_first_is_a_retry(dash: Dashboard) -> None:
    with connected():
        place_order()
        send_due(KITS, fail_for_now)
        make_due(KITS)
        send_due(KITS)
    count()
    (retries,) = (n for labels, n in scrape(dash)["dispatchlog_retries_total"].items() if KITS in labels)
    assert retries == 1


def test_one_that_is_under_way_holds_the_later_ones_until_it_ends(dash: Dashboard) -> None:
    with connected():
        form_in("SENT")
        form_in("SENT", number="VO-2")
        first = fetch_one("SELECT min(id) FROM dispatch_attempts")[0]
        execute("UPDATE dispatch_attempts SET outcome = NULL, sending_at = now() WHERE id = %s", (first,))
        assert keep_attempt_counts(started_by="test") == first - 1
        assert fetch_all("SELECT FROM dispatch_attempt_counts") == []
    assert scrape(dash)["dispatchlog_uncounted_attempts"][()] >= 4
    with connected():
        execute("UPDATE dispatch_attempts SET outcome = 'ACCEPTED' WHERE id = %s", (first,))
    count()
    assert sum(scrape(dash)["dispatchlog_attempts_total"].values()) == 4


def test_one_that_nobody_ever_ended_holds_them_for_a_while_only(dash: Dashboard) -> None:
    with connected():
        form_in("SENT")
        execute("UPDATE dispatch_attempts SET outcome = NULL, sending_at = now() - interval '1 hour'")
    count()
    assert {labels[-1] for labels in scrape(dash)["dispatchlog_attempts_total"]} == {"UNKNOWN"}


def test_one_that_is_written_late_is_neither_lost_nor_counted_twice(
    dash: Dashboard, settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_counts, "PATIENCE_SECONDS", 0.1)
    with connected():
        form_in("SENT")
    with closing(psycopg2.connect(settings_env.database_url)) as slow, slow.cursor() as cursor:
        cursor.execute("UPDATE dispatch_attempts SET evidence = '{}'")
        with connected():
            assert keep_attempt_counts(started_by="test") == 0
        slow.commit()
    count()
    assert sum(scrape(dash)["dispatchlog_attempts_total"].values()) == 2


def test_what_is_proved_later_takes_nothing_back(dash: Dashboard) -> None:
    with connected():
        form_in("IN_DOUBT")
    count()
    before = scrape(dash)["dispatchlog_attempts_total"]
    with connected():
        execute("UPDATE dispatch_attempts SET outcome = 'ACCEPTED', code = NULL")
    count()
    assert scrape(dash)["dispatchlog_attempts_total"] == before


@pytest.mark.parametrize(
    ("outcome", "code", "evidence", "class_"),
    [
        ("ACCEPTED", None, "{}", "accepted"),
        ("ACCEPTED", None, '{"code": "AA"}', "AA"),
        ("PERMANENT", "ACK_AE_207", '{"code": "AE"}', "AE"),
        ("TRANSIENT", "HTTP_503", '{"code": "a word of theirs"}', "5xx"),
        ("PERMANENT", "SMTP_550", "{}", "5xx"),
        ("PERMANENT", "KWIK_404", "{}", "4xx"),
        ("UNKNOWN", "SMTP_TIMEOUT", "{}", "timeout"),
        ("UNKNOWN", "CONNECTION_LOST", "{}", "connection"),
        ("TRANSIENT", "ENDPOINT_REFUSED_CREDENTIALS", "{}", "credentials"),
        ("UNKNOWN", "WORKER_DIED_SENDING", "{}", "died"),
        ("PERMANENT", "TWILIO_21211", "{}", "other"),
        (None, None, "{}", "other"),
    ],
)
def test_many_codes_are_few_classes(
    dash: Dashboard, outcome: str | None, code: str | None, evidence: str, class_: str
) -> None:
    with connected():
        place_order()
        send_due(KITS)
        execute(
            "UPDATE dispatch_attempts SET outcome = %s, code = %s, evidence = %s, sending_at = now() - interval '1 day'",
            (outcome, code, evidence),
        )
    count()
    assert {labels[0] for labels in scrape(dash)["dispatchlog_attempts_total"]} == {class_}
    assert class_ in attempt_counts.CLASSES
    acknowledged = {labels[0] for labels, n in scrape(dash)["dispatchlog_hl7_acknowledgements_total"].items() if n}
    assert acknowledged == {class_} & {"AA", "AE"}


def test_the_sums_alone_are_read_whatever_the_log_holds(dash: Dashboard) -> None:
    with connected():
        plan = "\n".join(
            row[0]
            for row in fetch_all(
                "EXPLAIN SELECT coalesce((SELECT max(id) FROM dispatch_attempts), 0), up_to FROM dispatch_attempts_counted"
            )
        )
    assert "Index Only Scan Backward" in plan


def test_refused_and_lost_ones_are_no_successes(dash: Dashboard) -> None:
    with connected():
        place_order("VO-1", kits=("KIT-1",))
        send_due(KITS)
        make_due(FORMS)
        send_due(FORMS, refuse)
        place_order("VO-2", kits=("KIT-2",))
        send_due(KITS)
        make_due(FORMS)
        send_due(FORMS, lose_answer)
    count()
    found = {labels[3] for labels in scrape(dash)["dispatchlog_attempts_total"] if FORMS in labels}
    assert found == {"PERMANENT", "UNKNOWN"}
