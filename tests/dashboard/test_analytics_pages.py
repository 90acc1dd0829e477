"""The pages of figures of messages: what they show and count, their filter and file, and the form of costs and values."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from dashboard.charts import day_columns
from dashboard.comm_analytics_charts import funnel_chart, missed_chart, trend_chart
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.stats import rollup
from dispatchlog.systems.outreach.stats.outcomes import Missed, Rates, rates, set_rates
from dispatchlog.systems.outreach.stats.reading import COUNTS
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard
from tests.dashboard.test_plans import read_whole, statements
from tests.outreach import builders
from tests.outreach.builders import rows

PAGE = "/outreach/analytics"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
RATES = Rates(None, "USD", Decimal("120"), Decimal("0.01"), Decimal("0.05"), Decimal("0.08"), None, 0)


def message(
    patient: UUID | None = None, channel: Channel = Channel.SMS, *, at: datetime = NOON, **columns: Any
) -> UUID:
    """One that was sent yesterday at noon."""
    return patient_rows.moved(patient or builders.patient(), "SENT", channel, sent_at=at, **columns)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_funnel_the_days_and_both_tables_count_the_same_messages(dash: Dashboard) -> None:
    patient = builders.patient()
    for _ in range(3):
        message(patient, delivered_at=NOON, clicked_at=NOON)
    message(patient, Channel.EMAIL, bounced_at=NOON, purpose=Purpose.LAB_READY, at=NOON - timedelta(days=2))
    rollup.fold(limit=2)
    page = dash.as_("viewer").get(PAGE)
    words = text_of(page.text)
    for expected in ("Sent 4 messages", "Delivered 75 %", "Came back 250.0 of 1,000 sent; 1 in all"):
        assert expected in words
    assert "Delivered 3 75 %" in words
    assert "SMS 3 100 % \N{EN DASH} 100 % 0 % 0.0 0.0" in words
    assert "Results ready 1 0 % 0 % 0 % 0 % 1000.0 0.0" in words
    assert f"{NOON.date() - timedelta(days=2)} 1 0 0 0 0 1 0" in words
    assert f"{NOON.date() - timedelta(days=1)} 0 0 0 0 0 0 0" in words
    assert "Opens are a hint, not a fact" in words


def test_the_address_says_everything_and_the_page_keeps_it(dash: Dashboard) -> None:
    clinic = builders.organization(name="North Clinic")
    doctor = builders.provider(clinic, name="Dr North")
    message(builders.patient(organization_id=clinic), organization_id=clinic, provider_id=doctor)
    message()
    day = NOON.date().isoformat()
    address = f"{PAGE}?from={day}&to={day}&clinic={clinic}&provider={doctor}&channel=sms&purpose=appt_reminder"
    page = dash.as_("viewer").get(address).text
    assert "Sent 1 message " in text_of(page)
    assert "North Clinic, Dr North, by SMS, appointment reminder" in page
    assert f'<option value="{doctor}" selected>Dr North</option>' in page
    assert "Nothing was sent in this range" in dash.as_("viewer").get(address.replace("sms", "email")).text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=2026-13-01", "is not a date"),
        ("from=2026-03-05&to=2026-03-04", "after the last one"),
        ("from=2020-01-01&to=2026-03-04", "holds 92 days at the most"),
        ("clinic=nobody", "Clinic “nobody” is not known"),
        (f"provider={UUID(int=9)}", "is not known"),
        ("channel=fax", "Channel “fax” is not known"),
        ("purpose=gossip", "Purpose “gossip” is not known"),
    ],
)
def test_what_cannot_be_read_of_the_address_is_named_and_no_file_is_made_of_it(
    dash: Dashboard, query: str, words: str
) -> None:
    visitor = dash.as_("support")
    assert words in visitor.get(f"{PAGE}?{query}").text
    assert words in visitor.get(f"{PAGE}/appointments?{query}").text
    assert visitor.post(f"{PAGE}/export?{query}").status_code == 400


def test_the_file_has_a_line_for_each_day_and_kind_and_it_is_kept_who_took_it(dash: Dashboard) -> None:
    clinic = builders.organization(name="=North")
    patient = builders.patient()
    message(patient, organization_id=clinic, delivered_at=NOON)
    message(patient, organization_id=clinic)
    message(patient, at=NOON - timedelta(days=1))
    visitor = dash.as_("support")
    visitor.get(PAGE)
    answer = visitor.post(f"{PAGE}/export")
    lines = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [(line["date"], line["clinic"], line["sent"], line["delivered"]) for line in lines] == [
        ((NOON - timedelta(days=1)).date().isoformat(), "", "1", "0"),
        (NOON.date().isoformat(), "'=North", "2", "1"),
    ]
    kept = rows("SELECT action, detail FROM operator_actions WHERE action LIKE 'export%%' ORDER BY id")
    assert [line["action"] for line in kept] == ["export", "export_ended"]
    assert kept[1]["detail"]["rows"] == 2
    assert kept[1]["detail"]["complete"] is True


# --- appointments and worth


def appointments(*, reminded: int, missed: int, others: int, others_missed: int) -> None:
    patient = builders.patient()
    for number in range(reminded + others):
        of_reminded = number < reminded
        gone = number < missed if of_reminded else number - reminded < others_missed
        made = builders.appointment(patient, starts_at=NOON, status="no_show" if gone else "completed")
        if of_reminded:
            message(patient, appointment_id=made, at=NOON - timedelta(days=1))


def test_the_sum_is_shown_with_its_parts_and_its_caveat(dash: Dashboard) -> None:
    appointments(reminded=4, missed=1, others=4, others_missed=2)
    before = text_of(dash.as_("viewer").get(f"{PAGE}/appointments").text)
    assert "Nobody has said yet what a message costs" in before
    set_rates(RATES, asker=builders.STAFF)
    words = text_of(dash.as_("viewer").get(f"{PAGE}/appointments").text)
    for expected in (
        "With a reminder 4 1 25 % 4.6 % to 70 %",
        "Without a reminder 4 2 50 %",
        "Missed without reminders as among those without one 50 %",
        "Missed less often 95 % certain: -1 to 3; it may be chance 1",
        "Their value 120.00 USD",
        "Cost by SMS 0.2 USD",
        "119.80 USD",
        "A sum, not a proof",
    ):
        assert expected in words


def test_a_page_without_appointments_says_what_is_to_be_done(dash: Dashboard) -> None:
    assert "No appointment is over in this range" in dash.as_("viewer").get(f"{PAGE}/appointments").text
    address = f"{PAGE}/appointments?purpose=lab_ready"
    assert "These messages remind of no appointment" in dash.as_("viewer").get(address).text


# --- costs and values

FORM: dict[str, Any] = {
    "currency": "usd",
    "visit_value": "120",
    "email_cost": "0.001",
    "sms_cost": "0,05",
    "whatsapp_cost": "0.08",
    "baseline_no_show": "12.5",
    "version": "0",
}


def test_costs_and_values_are_written_for_everybody_and_for_one_clinic(dash: Dashboard) -> None:
    clinic = builders.organization(name="North Clinic")
    visitor = dash.as_("admin")
    visitor.get(f"{PAGE}/rates")
    assert visitor.post(f"{PAGE}/rates", **FORM).status_code == 303
    found = rates(None)
    assert found is not None
    assert (found.currency, found.sms_cost, found.baseline_no_show) == ("USD", Decimal("0.05"), Decimal("0.125"))
    page = visitor.get(f"{PAGE}/rates?clinic={clinic}").text
    assert "North Clinic has none of its own" in page
    assert visitor.post(f"{PAGE}/rates", **{**FORM, "baseline_no_show": "", "clinic": str(clinic)}).status_code == 303
    own = rates(clinic)
    assert own is not None
    assert (own.organization_id, own.baseline_no_show) == (clinic, None)
    assert 'value="12.5"' in visitor.get(f"{PAGE}/rates").text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sms_cost": "a lot"}, "Write a number such as 0.05."),
        ({"sms_cost": ""}, "Write a number such as 0.05."),
        ({"visit_value": "-1"}, "It is a number from 0 to"),
        ({"visit_value": "NaN"}, "It is a number from 0 to"),
        ({"email_cost": "0.0000001"}, "It has 5 decimal places at the most."),
        ({"currency": "dollars"}, "A currency has three capital letters"),
        ({"baseline_no_show": "101"}, "A number from 0 to 100."),
        ({"version": "3"}, "Somebody else has saved these meanwhile."),
    ],
)
def test_what_is_no_rate_is_said_at_its_field_and_nothing_is_written(
    dash: Dashboard, changes: dict[str, str], words: str
) -> None:
    visitor = dash.as_("admin")
    visitor.get(f"{PAGE}/rates")
    answer = visitor.post(f"{PAGE}/rates", **{**FORM, **changes})
    assert answer.status_code == 400
    assert words in answer.text
    assert rates(None) is None


def test_of_a_clinic_that_there_is_not_there_are_no_rates(dash: Dashboard) -> None:
    for clinic in ("nobody", uuid4()):
        assert dash.as_("viewer").get(f"{PAGE}/rates?clinic={clinic}").status_code == 404


# --- charts and plans


def test_no_page_of_figures_reads_a_big_table_from_end_to_end(dash: Dashboard) -> None:
    clinic = builders.organization()
    doctor = builders.provider(clinic)
    patient = builders.patient(organization_id=clinic)
    made = builders.appointment(patient, starts_at=NOON, provider_id=doctor)
    message(patient, appointment_id=made, organization_id=clinic, provider_id=doctor)
    visitor = dash.as_("admin")
    bad = []
    narrow = f"clinic={clinic}&provider={doctor}&channel=sms&purpose=appt_reminder"
    for address in (PAGE, f"{PAGE}?{narrow}", f"{PAGE}/appointments", f"{PAGE}/appointments?{narrow}", f"{PAGE}/rates"):
        with statements() as asked:
            assert visitor.get(address).status_code == 200, address
        bad += [(address, table, sql) for sql, parameters in asked for table in read_whole(sql, parameters)]
    assert bad == []


def test_a_message_that_was_told_as_delivered_and_came_back_is_drawn_once() -> None:
    day = {"date": NOON.date(), **dict.fromkeys(COUNTS, 0), "sent": 4, "delivered": 4, "bounced": 1}
    chart = trend_chart([day])
    assert [(bar.kind, bar.height) for bar in chart.bars] == [("good", 112.5), ("bad", 37.5)]
    assert "4 sent, 4 of them delivered, 1 came back" in chart.said


def test_charts_of_nothing_are_drawn() -> None:
    nothing = dict.fromkeys(COUNTS, 0)
    assert all(bar.width == 0 for bar in funnel_chart(nothing).bars)
    assert missed_chart([("Nobody", Missed(0, 0, None, None, None))]).said == "Nothing yet."
    assert day_columns([], said="nothing").bars == []
