"""What an upstream service uses: the message lands where the actor listens, and HTTP refusals become typed errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
import redis

from dispatchlog.client import (
    ACTOR,
    QUEUE,
    ApiRefused,
    ApiUnavailable,
    BrokerUnavailable,
    Client,
    HttpClient,
    NotAuthorised,
    OrderNotFound,
    VisitExists,
)
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import schools
from tests.dashboard.api_support import Api, order, running_api
from tests.dashboard.browsing import served
from tests.dashboard.reported_visits import report


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


@pytest.fixture
def address(api: Api) -> Iterator[str]:
    """The API on a real socket."""
    with served(api.app) as url:
        yield url


def test_the_client_imports_neither_models_nor_tasks_nor_the_database_layer() -> None:
    script = (
        "import sys, dispatchlog.client;"
        "print([m for m in ('models', 'tasks', 'peewee', 'psycopg2', 'flask', 'dispatchlog.settings',"
        " 'dispatchlog.systems') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_message_lands_in_the_queue_with_the_order_id_alone(redis_url: str) -> None:
    order_id = uuid4()
    Client(redis_url).auto_register_practitioner_order_kits(order_id)
    [message] = queued(redis_url)
    assert message["actor_name"] == "auto_register_practitioner_order_kits"
    assert message["queue_name"] == "AUTO_REGISTER_PRACTIONER_ORDER_KITS"
    assert message["args"] == [str(order_id)]
    assert message["kwargs"] == {}


def test_a_named_client_says_who_reports(redis_url: str) -> None:
    Client(redis_url, source="vitract-orders").auto_register_practitioner_order_kits(str(uuid4()))
    assert queued(redis_url)[0]["kwargs"] == {"source": "vitract-orders"}


def test_the_names_are_those_of_the_actor(settings_env: Settings) -> None:
    script = (
        "from tasks import auto_register_practitioner_order_kits as a; print(a.actor_name, a.queue_name,"
        " *sorted(__import__('inspect').signature(a.fn).parameters))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    name, queue, *parameters = found.stdout.split()
    assert (name, queue) == (ACTOR, QUEUE)
    assert {"order_id", "source"} <= set(parameters)


@pytest.mark.parametrize("bad", ["", "7", "None", "' OR 1=1"])
def test_an_order_id_that_is_no_uuid_is_refused_before_anything_is_sent(redis_url: str, bad: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        Client(redis_url).auto_register_practitioner_order_kits(bad)
    assert queued(redis_url) == []


def test_a_broker_that_is_down_is_said_so() -> None:
    with pytest.raises(BrokerUnavailable):
        Client("redis://127.0.0.1:1/0").auto_register_practitioner_order_kits(uuid4())


def test_orders_go_out_and_come_back_over_http(api: Api, address: str) -> None:
    order_id = uuid4()
    with HttpClient(address, api.token) as client:
        put = client.put_order(order_id, order(status="paid", shippingDate=None, trackingNumber=None, trackingUrl=None))
        assert put["registration"] is None
        reported = client.report_shipment(order_id, {"trackingNumber": "1Z999"}, trace_id="upstream-7")
        assert reported["traceId"] == "upstream-7"
        assert client.get_order(str(order_id))["registration"]["state"] == "REGISTERING"


def test_a_refusal_carries_code_field_and_trace_id(api: Api, address: str) -> None:
    kit = {"kitId": "KIT-1"}
    with HttpClient(address, api.token) as client, pytest.raises(ApiRefused) as refused:
        client.put_order(uuid4(), order(kits=[kit, kit]), trace_id="upstream-8")
    error = refused.value
    assert (error.status, error.code, error.field, error.trace_id) == (
        400,
        "DUPLICATE_KIT",
        "kits[1].kitId",
        "upstream-8",
    )


def test_a_visit_goes_out_once_however_often_it_is_reported(api: Api, address: str) -> None:
    schools.add_school("SCH-01", "First school", actor="test")
    visit_id = uuid4()
    with HttpClient(address, api.token) as client:
        first = client.report_visit(visit_id, report(), trace_id="clinic-7")
        again = client.report_visit(str(visit_id), report())
        assert (first["created"], again["created"], first["traceId"]) == (True, False, "clinic-7")
        assert again["messages"] == first["messages"]
        [message] = client.get_visit(visit_id)["messages"]
        assert (message["status"], message["messageId"]) == ("PENDING", first["messages"][0]["messageId"])
        with pytest.raises(VisitExists):
            client.report_visit(visit_id, report(notes="something else"))
        with pytest.raises(ApiRefused) as refused:
            client.report_visit(uuid4(), report(number="V" * 21, patientClass="Z"))
    assert [fault["field"] for fault in refused.value.faults] == ["number", "patientClass"]


def test_an_unknown_order_and_a_wrong_token_have_errors_of_their_own(api: Api, address: str) -> None:
    with HttpClient(address, api.token) as client, pytest.raises(OrderNotFound):
        client.get_order(uuid4())
    with HttpClient(address, "dlk_wrong") as client, pytest.raises(NotAuthorised):
        client.get_order(uuid4())


def test_no_answer_at_all_is_an_error_that_may_be_repeated() -> None:
    with HttpClient("http://127.0.0.1:1", "dlk_x") as client, pytest.raises(ApiUnavailable) as failed:
        client.get_order(UUID(int=1))
    assert failed.value.retry_after_seconds > 0


def queued(url: str) -> list[dict[str, object]]:
    """The messages that wait in the queue, as Dramatiq stored them."""
    with redis.Redis.from_url(url) as client:
        ids = client.lrange(f"dramatiq:{QUEUE}", 0, -1)
        stored = client.hgetall(f"dramatiq:{QUEUE}.msgs")
    assert set(ids) == set(stored)
    return [json.loads(stored[message_id]) for message_id in ids]
