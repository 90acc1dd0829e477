"""Who asks the outreach system for something through a page, for its audit. Owns the step from a request to an `Asker`."""

from __future__ import annotations

from flask import request
from flask_login import current_user

from dashboard.context import acting_person
from dashboard.proxies import client_address
from dispatchlog.systems.outreach.inputs import Asker

PATIENT = "patient"
_LONGEST_AGENT = 512


def outreach_asker() -> Asker:
    """The member of staff who is signed in."""
    return Asker(acting_person(), user_id=current_user.id, ip_address=_address(), user_agent=_agent())


def patient_asker() -> Asker:
    """Whoever opened a patient's link: nobody signs in there, so where the request came from is all that is known."""
    return Asker(PATIENT, ip_address=_address(), user_agent=_agent())


def _address() -> str | None:
    return client_address()[:45] or None


def _agent() -> str | None:
    return request.headers.get("User-Agent", "").replace("\x00", "")[:_LONGEST_AGENT] or None
