"""Delivery codes: where they may be, how often they may be guessed, and what the mails that carry them say."""

from __future__ import annotations

import email
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dashboard.courier_order_queries import deeds_on
from dispatchlog.engine.content import unpack
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Permanent
from dispatchlog.engine.gateway import Parcel, Receipt
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.gateways.filled import FillingGateway
from dispatchlog.row_content import PAYLOADS
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import codes, events, orders
from dispatchlog.systems.courier.code_rules import code_of, hash_of, is_right, is_well_formed
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.states import DispatchStatus
from tests.systems.courier_samples import PATIENT, PHARMACY, CourierDesk, courier_desk, requested

STAFF = "pharmacist@example.org"
_READABLE = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND has_table_privilege(tablename, 'SELECT')"
SIX = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")


@pytest.fixture
def desk(
    settings_env: Settings, monkeypatch: pytest.MonkeyPatch, mail_server: tuple[int, Path]
) -> Iterator[CourierDesk]:
    monkeypatch.setenv("DISPATCHLOG_SMTP_URL", f"smtp://127.0.0.1:{mail_server[0]}?tls=none")
    with courier_desk(settings_env, monkeypatch) as desk:
        yield desk
        registry.lane("courier_message").gateway.close()


def on_its_way(desk: CourierDesk) -> dict[str, Any]:
    """A dispatch that the courier has brought as far as IN_TRANSIT."""
    requested()
    desk.drain()
    move("IN_TRANSIT")
    return dispatch()


def move(status: str) -> None:
    row = dispatch()
    with transaction("test"):
        orders.lock_order(row["order_id"])
        events.note_own(row, DispatchStatus(status), source="staff", event_id=f"t:{status}", actor="test")


def dispatch() -> dict[str, Any]:
    with connected():
        return fetch_dicts("SELECT * FROM courier_dispatches")[0]


def right(row: dict[str, Any]) -> str:
    return code_of(row["id"], row["code_counter"])


def wrong(row: dict[str, Any]) -> str:
    return "000000" if right(row) != "000000" else "000001"


def refused(dispatch_id: UUID, code: str) -> str:
    with pytest.raises(CourierError) as caught:
        codes.verify_code(dispatch_id, code, actor=STAFF)
    return caught.value.code


def mails(desk: CourierDesk, folder: Path) -> list[email.message.EmailMessage]:
    desk.drain("courier_message")
    with connected():
        sent = fetch_all("SELECT provider_message_id FROM courier_messages WHERE status = 'SENT' ORDER BY seq")
    box = {}
    for path in (folder / "new").iterdir():
        message = email.message_from_bytes(path.read_bytes(), policy=default)
        box[str(message["Message-ID"]).strip("<>")] = message
    return [box[row[0]] for row in sent]


def text_of(message: email.message.EmailMessage, kind: str = "plain") -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


# --- the code itself


def test_a_code_is_six_digits_the_same_every_time_and_another_for_every_counter_and_dispatch(
    desk: CourierDesk,
) -> None:
    first, second = UUID(int=1), UUID(int=2)
    drawn = [code_of(dispatch, counter) for dispatch in (first, second) for counter in range(200)]
    assert all(is_well_formed(code) for code in drawn)
    assert drawn[:200] == [code_of(first, counter) for counter in range(200)]
    assert len(set(drawn)) > 390  # of 400 drawn from a million, hardly any two are the same
    assert is_right(first, 3, code_of(first, 3), hash_of(first, 3, code_of(first, 3)))
    assert not is_right(second, 3, code_of(first, 3), hash_of(second, 3, code_of(second, 3)))


@pytest.mark.parametrize(
    "text", ["", "12345", "1234567", "12345a", "\uff11\uff12\uff13\uff14\uff15\uff16", " 123456", "123456\n"]
)
def test_what_is_no_six_digits_is_no_code(text: str) -> None:
    assert not is_well_formed(text)


# --- how it reaches the patient


def test_the_patient_gets_the_code_once_it_is_on_its_way_and_nobody_else(desk: CourierDesk, mail_server: Any) -> None:
    row = on_its_way(desk)
    [mail] = mails(desk, mail_server[1])
    assert mail["To"] == PATIENT.email
    assert right(row) not in str(mail["Subject"])
    for kind in ("plain", "html"):
        assert right(row) in text_of(mail, kind)
        assert "{code}" not in text_of(mail, kind)


def without_chance(text: str) -> str:
    """`text` with its bytes as characters, and without what may hold any six digits: identifiers and instants."""
    text = re.sub(r"\\+x([0-9a-f]+)", lambda found: bytes.fromhex(found[1]).decode("latin-1"), text)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[A-Z]{2}-[0-9a-f]{8}|(?<=:[0-9]{2})\.[0-9]+", "", text)


def test_the_code_is_stored_nowhere(desk: CourierDesk, mail_server: Any, capfd: pytest.CaptureFixture[str]) -> None:
    row = on_its_way(desk)
    assert mails(desk, mail_server[1])
    refused(row["id"], wrong(row))
    codes.verify_code(row["id"], right(row), actor=STAFF)
    with connected():
        tables = [name for (name,) in fetch_all(_READABLE)]
        everything = "\n".join(text for table in tables for (text,) in fetch_all(f"SELECT t::text FROM {table} t"))
        bodies = b"\n".join(
            unpack(PAYLOADS.open(sealed, owner))[2]
            for owner, sealed in fetch_all("SELECT dispatch_id, sealed FROM dispatch_payloads")
        )
    printed = capfd.readouterr()
    assert b"{code}" in bodies
    for text in (everything, bodies.decode(), printed.out, printed.err):
        assert right(row) not in SIX.findall(without_chance(text))


def test_a_courier_s_link_does_not_take_the_code_to_the_courier(desk: CourierDesk, mail_server: Any) -> None:
    requested()
    desk.drain()
    with connected():
        execute("UPDATE courier_dispatches SET tracking_url = 'https://courier.example/t?c={code}'")
        execute("UPDATE pharmacies SET name = 'Ikeja {code} Pharmacy'")
    move("IN_TRANSIT")
    row = dispatch()
    [mail] = mails(desk, mail_server[1])
    for kind in ("plain", "html"):
        text = text_of(mail, kind)
        assert "https://courier.example/t?c=%7Bcode%7D" in text
        assert text.count(right(row)) == 1


def test_what_is_done_to_a_code_is_told_with_its_order(desk: CourierDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    row = on_its_way(desk)
    monkeypatch.setattr(codes, "RESEND_AFTER", timedelta(0))
    codes.resend_code(row["id"], actor=STAFF)
    for _ in range(5):
        refused(row["id"], wrong(row))
    codes.unlock_code(row["id"], actor=STAFF, reason="she had read out the order number")
    with connected():
        found = [deed["action"] for deed in deeds_on(row["order_id"], [])]
    assert {"resend_delivery_code", "unlock_delivery_code"} <= set(found)


def test_a_resend_says_the_same_code_until_it_expires_and_then_another(
    desk: CourierDesk, mail_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = on_its_way(desk)
    first = right(row)
    with pytest.raises(CourierError, match="moment ago"):
        codes.resend_code(row["id"], actor=STAFF)
    monkeypatch.setattr(codes, "RESEND_AFTER", timedelta(0))
    codes.resend_code(row["id"], actor=STAFF)
    desk.drain("courier_message")
    refused(row["id"], wrong(row))
    with connected():
        execute("UPDATE courier_dispatches SET code_expires_at = clock_timestamp()")
    assert refused(row["id"], first) == "OTP_EXPIRED"
    codes.resend_code(row["id"], actor=STAFF)
    now = dispatch()
    assert (now["code_counter"], now["code_tries"]) == (2, 0)
    told = [text_of(mail) for mail in mails(desk, mail_server[1])]
    assert [SIX.search(text).group() for text in told] == [first, first, right(now)]  # type: ignore[union-attr]
    assert first != right(now)
    assert refused(row["id"], first) == "OTP_INVALID"


def test_a_message_of_an_older_code_does_not_leave(desk: CourierDesk) -> None:
    row = on_its_way(desk)
    with connected():
        execute("UPDATE courier_dispatches SET code_counter = code_counter + 1 WHERE id = %s", (row["id"],))
    desk.drain("courier_message")
    [message] = desk.rows("courier_messages")
    assert (message["status"], message["last_error_code"]) == ("FAILED", "CODE_REPLACED")


def test_a_delivery_that_has_ended_sends_no_code_any_more(desk: CourierDesk) -> None:
    on_its_way(desk)
    move("FAILED")
    waiting = {(row["kind"], row["recipient_role"]): row["status"] for row in desk.rows("courier_messages")}
    assert waiting == {
        ("CODE", "PATIENT"): "CANCELLED",
        ("UPDATE", "PATIENT"): "PENDING",
        ("UPDATE", "PHARMACY"): "PENDING",
    }


def test_patient_and_pharmacy_hear_of_the_end_once(desk: CourierDesk, mail_server: Any) -> None:
    row = on_its_way(desk)
    codes.verify_code(row["id"], right(row), actor=STAFF)
    told = {str(mail["To"]): text_of(mail) for mail in mails(desk, mail_server[1])}
    assert set(told) == {PATIENT.email, PHARMACY.email}
    assert "handed over" in told[PATIENT.email]
    assert "/orders/" not in told[PATIENT.email]
    assert f"/orders/{row['order_id']}" in str(told[PHARMACY.email or ""])
    assert all(item not in text for text in told.values() for item in ("Amlodipine", "Metformin", PATIENT.name))


def test_a_blank_without_a_place_is_refused_before_anything_leaves() -> None:
    inner = FakeGateway()
    filling = FillingGateway(inner, blank=b"{code}", secret_of=lambda parcel: b"123456")
    parcel = Parcel(UUID(int=7), "k", "a@b.test", b"no place")
    with pytest.raises(Permanent, match="no place"):
        filling.send(parcel, deadline=Deadline(5), before_write=lambda: None)
    assert inner.sends == 0


class Parrot(FakeGateway):
    """Repeats what it is sent, as content filters do."""

    refuses = True

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        said = f"spam: {parcel.body.decode()}"
        if self.refuses:
            raise Permanent(said, code="SMTP_554", evidence={"code": 554, "reply": said})
        return Receipt("m-1", {"code": 250, "reply": said})


def test_a_server_that_repeats_the_code_does_not_have_it_stored() -> None:
    inner = Parrot()
    filling = FillingGateway(inner, blank=b"{code}", secret_of=lambda parcel: b"123456")
    parcel = Parcel(UUID(int=7), "k", "a@b.test", b"it is {code}")
    with pytest.raises(Permanent) as refused:
        filling.send(parcel, deadline=Deadline(5), before_write=lambda: None)
    assert (refused.value.message, str(refused.value)) == ("spam: it is {code}",) * 2
    assert refused.value.evidence == {"code": 554, "reply": "spam: it is {code}"}
    inner.refuses = False
    receipt = filling.send(parcel, deadline=Deadline(5), before_write=lambda: None)
    assert receipt.evidence == {"code": 250, "reply": "spam: it is {code}"}


# --- guessing


def test_the_right_code_delivers_and_a_second_one_is_told_so(desk: CourierDesk) -> None:
    row = on_its_way(desk)
    order = codes.verify_code(row["id"], right(row), actor=STAFF)
    assert order["dispatch_status"] == "DELIVERED"
    assert dispatch()["confirmed_by"] == "otp"
    assert refused(row["id"], right(row)) == "DISPATCH_ALREADY_DELIVERED"


def test_five_wrong_codes_lock_it_and_the_right_one_opens_nothing_any_more(desk: CourierDesk) -> None:
    row = on_its_way(desk)
    assert refused(row["id"], "12 456") == "OTP_MALFORMED"
    answers = [refused(row["id"], wrong(row)) for _ in range(5)]
    assert answers == ["OTP_INVALID"] * 4 + ["OTP_LOCKED"]
    assert refused(row["id"], right(row)) == "OTP_LOCKED"
    with pytest.raises(CourierError, match="locked"):
        codes.resend_code(row["id"], actor=STAFF)
    with pytest.raises(ReasonRequired):
        codes.unlock_code(row["id"], actor=STAFF, reason=" ")
    codes.unlock_code(row["id"], actor=STAFF, reason="patient had read the order number")
    codes.verify_code(row["id"], right(row), actor=STAFF)
    assert dispatch()["status"] == "DELIVERED"


def test_guessing_from_many_places_at_once_has_five_tries_all_together(desk: CourierDesk) -> None:
    row = on_its_way(desk)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: refused(row["id"], wrong(row)), range(24)))
    assert answers.count("OTP_INVALID") == 4
    assert answers.count("OTP_LOCKED") == 20
    assert dispatch()["code_tries"] == 5


def test_the_right_code_from_many_places_at_once_delivers_once(desk: CourierDesk) -> None:
    row = on_its_way(desk)

    def one(_: int) -> str:
        try:
            codes.verify_code(row["id"], right(row), actor=STAFF)
        except CourierError as error:
            return error.code
        return "DELIVERED"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert sorted(answers) == ["DELIVERED", *["DISPATCH_ALREADY_DELIVERED"] * 7]


@pytest.mark.parametrize("status", ["BOOKED", "FAILED", "CANCELED"])
def test_a_code_counts_only_on_the_way(desk: CourierDesk, status: str) -> None:
    requested()
    desk.drain()
    if status != "BOOKED":
        move(status)
    assert refused(dispatch()["id"], "123456") == "DISPATCH_NOT_IN_TRANSIT"
    assert refused(UUID(int=9), "123456") == "DISPATCH_NOT_FOUND"


def test_staff_confirm_without_a_code_with_a_reason_that_stays(desk: CourierDesk) -> None:
    row = on_its_way(desk)
    with pytest.raises(ReasonRequired):
        codes.confirm_without_code(row["id"], actor=STAFF, reason="")
    codes.confirm_without_code(row["id"], actor=STAFF, reason="patient has no mail; identity card shown")
    assert (dispatch()["status"], dispatch()["confirmed_by"]) == ("DELIVERED", "staff")
    with connected():
        [(actor, reason)] = fetch_all(
            "SELECT actor, reason FROM operator_actions WHERE action = 'confirm_delivery_without_code'"
        )
    assert (actor, reason) == (STAFF, "patient has no mail; identity card shown")


def test_a_delivery_set_back_by_hand_can_be_confirmed_again(desk: CourierDesk) -> None:
    row = on_its_way(desk)
    codes.verify_code(row["id"], right(row), actor=STAFF)
    events.set_by_hand(row["id"], DispatchStatus.IN_TRANSIT, actor=STAFF, reason="given to the neighbour")
    assert dispatch()["status"] == "IN_TRANSIT"
    codes.verify_code(row["id"], right(dispatch()), actor=STAFF)
    assert dispatch()["status"] == "DELIVERED"
