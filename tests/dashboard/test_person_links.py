"""For whom an account acts in tickets: linked and unlinked by administrators, with reasons, and what its person then sees."""

from __future__ import annotations

from html import unescape
from uuid import uuid4

import pytest
from flask import jsonify

from dashboard.access import TICKETS, needs
from dashboard.acting import acting_identity, overseer
from dispatchlog import account_links, people
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.people import PersonError
from dispatchlog.systems.courier.pharmacies import PharmacyInput, add_pharmacy
from dispatchlog.systems.tickets.identity import identity_of_account
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.states import PartyKind
from tests.dashboard.browsing import Dashboard, Visitor
from tests.systems.ticket_samples import new_party, new_person

DOCTOR = "doctor@example.org"
