"""What patients write back: stored once, acted on once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatchlog.engine.database import configure, connected, database, fetch_dicts
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.inbound import Message, store_messages
from dispatchlog.systems.outreach.states import Channel


@pytest.fixture
def database_here(settings_env: Settings) -> Iterator[None]:
    configure(settings_env.database_url, role=settings_env.application_role)
    yield
    database.close_all()


def test_a_message_is_stored_once_however_often_it_comes(database_here: None) -> None:
    message = Message("twilio", "SM1", Channel.SMS, "+12025550123", "+12025550100", "YES\x00", "SM1", opt_out="stop")
    other = Message("whatsapp", "wamid.1", Channel.WHATSAPP, "whatsapp:+12025550123", "nobody", "ok", "wamid.1")
    assert store_messages([message, message, other], source="native", trace_id="t") == 2
    assert store_messages([message], source="generic", trace_id="t") == 0
    with connected():
        stored = fetch_dicts("SELECT * FROM comm_inbound ORDER BY event_key")
    assert [(row["from_address"], row["to_address"], row["intent"]) for row in stored] == [
        ("+12025550123", "+12025550100", "stop"),
        ("+12025550123", "nobody", None),
    ]
    assert stored[0]["body"] == "YES\ufffd"
