"""The actors. Upstream services import them: `from tasks import auto_register_practitioner_order_kits`.

An actor's message is a hint with an id or a lane's name in it, never data of a person and never work that would be lost
with it.
"""

from tasks.broker import broker
from tasks.bulk import run_bulk
from tasks.courier_events import courier_events, courier_polls
from tasks.deliver import drain
from tasks.hl7 import hl7_messages
from tasks.kits import auto_register_practitioner_order_kits, health_information_dispatch

__all__ = [
    "auto_register_practitioner_order_kits",
    "broker",
    "courier_events",
    "courier_polls",
    "drain",
    "health_information_dispatch",
    "hl7_messages",
    "run_bulk",
]
