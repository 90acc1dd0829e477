"""The actors. Upstream services import them: `from tasks import auto_register_practitioner_order_kits`.

An actor's message is a hint with an id or a lane's name in it, never data of a person and never work that would be lost
with it. Only `report_pharmacy_order`, `report_core_event` and `schedule_communication` take a whole report, which
`sealed_report`, `sealed_event` and `sealed_request` make unreadable to whoever has the broker.
"""

from tasks.broker import broker
from tasks.bulk import run_bulk
from tasks.courier import capture_pharmacy_payment, mark_pharmacy_order_ready, report_pharmacy_order, sealed_report
from tasks.courier_events import courier_events, courier_polls
from tasks.deliver import drain
from tasks.hl7 import hl7_messages
from tasks.kits import auto_register_practitioner_order_kits, health_information_dispatch
from tasks.outreach import (
    outreach_campaigns,
    outreach_events,
    outreach_inbound,
    report_core_event,
    schedule_communication,
    sealed_event,
    sealed_request,
)

__all__ = [
    "auto_register_practitioner_order_kits",
    "broker",
    "capture_pharmacy_payment",
    "courier_events",
    "courier_polls",
    "drain",
    "health_information_dispatch",
    "hl7_messages",
    "mark_pharmacy_order_ready",
    "outreach_campaigns",
    "outreach_events",
    "outreach_inbound",
    "report_core_event",
    "report_pharmacy_order",
    "run_bulk",
    "schedule_communication",
    "sealed_event",
    "sealed_report",
    "sealed_request",
]
