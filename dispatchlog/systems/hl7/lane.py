"""The lane `hl7`: a stored message, byte for byte, to its school's endpoint. Owns what is sent; builds nothing."""

from __future__ import annotations

from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.row_content import HL7_MESSAGES, PAYLOADS
from dispatchlog.systems.hl7.endpoints import AnyEndpoint, routes
from dispatchlog.systems.hl7.names import parse
from models import Hl7Message

LANE = "hl7"
# Of its own, so that a worker of this lane alone takes no other lane's wake-ups.
QUEUE, ACTOR = "hl7", "hl7_messages"
CONTENT_TYPE = "application/hl7-v2; charset=utf-8"


def hl7_lane() -> Lane:
    """Lane `hl7`: one route per school, oldest first, a student's messages strictly in order."""
    return Lane(
        name=LANE,
        title="HL7 messages",
        model=Hl7Message,
        seal=PAYLOADS,
        row_seal=HL7_MESSAGES,
        build_gateway=_any_endpoint,
        compose=compose,
        # An endpoint's own policy replaces it: 5 retries after 30 s, 1, 2, 4 and 8 min.
        retry=RetryPolicy(max_attempts=6, first_delay_seconds=30),
        slots=4,
        body_on_row=True,
        failed_blocks=True,
        routes=routes,
        goes_stale=True,
        queue=QUEUE,
        actor=ACTOR,
        tells_each=True,
        persons=persons,
    )


def _any_endpoint() -> Gateway:
    return AnyEndpoint()


def compose(row: Row) -> Letter:
    """What leaves: the bytes as they were stored with the visit. A resend has the same MSH-10."""
    return Letter(row["route"], bytes(row["body"]), CONTENT_TYPE, {"control_id": row["control_id"]})


def persons(row: Row, body: bytes) -> list[str]:
    """Whatever stands in a field that names, numbers or describes the student or somebody close."""
    found = [str(row["student_name"]), str(row["student_number"])]
    for segment in parse(body):
        for field in segment.fields:
            if field.identifying:
                found += [text for repetition in field.repetitions for text in repetition if text]
    return found
