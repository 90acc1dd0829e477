"""Owns a running API with everybody who takes part in tickets, each asking as themselves. Tests nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from werkzeug.test import TestResponse

from dashboard.person_tokens import issue_person_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.tickets.identity import Identity
from tests.dashboard.api_support import Api, running_api
from tests.systems.ticket_samples import Care, make_care

MEDICINE = {"name": "Amoxicillin", "strength": "500 mg", "dosage": "1 capsule", "quantity": "21"}


@dataclass
class TicketApi:
    """The API, and who takes part."""

    api: Api
    care: Care

    def ask(self, who: Identity, method: str, path: str, **request: Any) -> TestResponse:
        """One request of this person."""
        token = issue_person_token(who.person_id, settings=get_settings()).text
        return self.api.call(method, path, token=token, **request)

    def done(self, who: Identity, method: str, path: str, **request: Any) -> Any:
        """What a request answers that is to succeed."""
        answer = self.ask(who, method, path, **request)
        assert answer.status_code in (200, 201), answer.get_json()
        return answer.get_json()

    def choice(self, **changes: Any) -> dict[str, Any]:
        """What the doctor says to send a prescription to the pharmacy."""
        return {
            "appointmentId": str(uuid4()),
            "patientId": str(self.care.patient.party_id),
            "secondaryProviderId": str(self.care.pharmacy.party_id),
            **changes,
        }

    def new_ticket(self, *, sent: bool = False, **changes: Any) -> dict[str, Any]:
        """A ticket of the doctor, patient and pharmacy."""
        ticket: dict[str, Any] = self.done(self.care.doctor, "POST", "/tickets", json=self.choice(**changes))["ticket"]
        if sent:
            path = f"/tickets/{ticket['ticketId']}/prescription"
            ticket = self.done(self.care.doctor, "PUT", path, json={"items": [MEDICINE]})["ticket"]
        return ticket

    def write(self, who: Identity, ticket: dict[str, Any], body: str, client_message_id: UUID | None = None) -> Any:
        """Send a message in the ticket's thread."""
        document = {"clientMessageId": str(client_message_id or uuid4()), "body": body}
        return self.done(who, "POST", f"/threads/{ticket['thread']['threadId']}/messages", json=document)


@contextmanager
def running_ticket_api(settings: Settings) -> Iterator[TicketApi]:
    with running_api(settings) as api:
        yield TicketApi(api, make_care())
