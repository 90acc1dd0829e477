"""What a copy of the database says of a patient who was written to and answered: nothing without the key."""

from __future__ import annotations

from types import MappingProxyType

from dispatchlog.engine.database import connected
from dispatchlog.row_sealing import seal_rows, tables_with_plain_rows
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.outreach.inbound import Message, process_all, store_messages
from dispatchlog.systems.outreach.states import Channel
from tests.at_rest import columns_with
from tests.engine.lane import payloads
from tests.keys.owning import rotate
from tests.keys.samples import headers
from tests.outreach import builders
from tests.outreach.builders import EMAIL, PHONE
from tests.outreach.conftest import Desk
from tests.outreach.requests import ask, awake, text

NAME, DAY, ANSWER = "Quillon Canaryfield", "the thirty-fifth of Canuary", "canarysong, thank you"
CANARIES = (NAME, "Quillon", "Canaryfield", EMAIL, PHONE, DAY, ANSWER)
# The clinic's own texts and numbers are nobody's; what still is somebody's is named here with why.
STILL_PLAIN = MappingProxyType({})


def written_and_answered(desk: Desk) -> None:
    """A patient gets a mail and a text, answers, and is answered."""
    patient_id = awake(name=NAME)
    for channel in (Channel.EMAIL, Channel.SMS):
        text(channel, body="Dear {{ patient_first_name }}, your appointment is on {{ day }}.")
        made = ask(patient_id, preferred_channel=channel, variables={"day": DAY})
        desk.drain()
        (stored,) = payloads(made.job_id)
        assert DAY.encode() in bytes(stored["body"]), "it was written"
    said = [
        Message("twilio", f"k{n}", Channel.SMS, PHONE, "+12025550100", word) for n, word in enumerate((ANSWER, "HELP"))
    ]
    store_messages(said, source="native", trace_id="t")
    process_all()
    desk.drain()


def test_a_copy_of_the_database_says_nothing_of_the_patient(desk: Desk, database_url: str) -> None:
    written_and_answered(desk)
    assert columns_with(database_url, CANARIES).keys() == STILL_PLAIN.keys()


def test_what_was_stored_before_is_sealed_by_and_by(
    desk: Desk, database_url: str, monkeypatch: object, application: Settings
) -> None:
    monkeypatch.setenv("DISPATCHLOG_SEAL_CONTENT", "0")  # type: ignore[attr-defined]
    get_settings.cache_clear()
    written_and_answered(desk)
    plain = columns_with(database_url, CANARIES)
    assert {
        "dispatch_payloads.body",
        "comm_jobs.body",
        "comm_jobs.recipient",
        "comm_inbound.from_address",
    } <= plain.keys()
    before = everything()
    with connected():
        assert tables_with_plain_rows() == ["dispatch_payloads", "comm_jobs", "comm_inbound"]
    told: list[tuple[str, int]] = []
    done = seal_rows(database_url, batch=2, told=lambda table, number: told.append((table, number)))
    assert done["comm_inbound"] == 2
    assert ("comm_jobs", 2) in told, "in batches"
    with connected():
        assert tables_with_plain_rows() == []
    assert columns_with(database_url, CANARIES).keys() == STILL_PLAIN.keys()
    assert everything() == before
    assert sum(seal_rows(database_url, told=lambda *_: None).values()) == 0, "and not a second time"


def test_what_is_sealed_is_sealed_anew_under_another_key(desk: Desk) -> None:
    written_and_answered(desk)
    before, first = everything(), headers()
    assert rotate().unreadable == 0
    assert everything() == before
    assert headers().isdisjoint(first)


def everything() -> list[object]:
    """What the application reads of it all."""
    jobs = builders.rows("SELECT * FROM comm_jobs ORDER BY id")
    inbound = builders.rows("SELECT * FROM comm_inbound ORDER BY id")
    stored = [
        {name: value for name, value in row.items() if name != "sealed"} for job in jobs for row in payloads(job["id"])
    ]
    return [{name: value for name, value in row.items() if name != "sealed"} for row in (*jobs, *inbound)] + stored
