"""One's own list of tickets as a file: CSV, streamed, read page by page as the party itself. Logged like every export."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from dashboard.export import ListFile, instant_text
from dashboard.ticket_filter import TicketsFilter
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.reading import ticket_page

PAGE_TICKETS = 200


class TicketsFile(ListFile):
    """The file of a list of tickets; nothing of what is in them."""

    fields = (
        "ticket_number",
        "ticket_type",
        "status",
        "patient",
        "doctor",
        "receiver",
        "created_at",
        "sent_at",
        "in_status_since",
        "unread_messages",
    )

    def __init__(self, wanted: TicketsFilter, who: Identity) -> None:
        self._wanted, self._who = replace(wanted, position=None), who
        super().__init__(form="csv", actor=who.actor)

    def about(self) -> tuple[str | None, dict[str, Any]]:
        return None, {"filter": f"Own tickets: {self._wanted.in_words()}"}

    def pages(self) -> Generator[list[dict[str, Any]], None, None]:
        query = self._wanted.query(limit=PAGE_TICKETS)
        while True:
            page = ticket_page(self._who, query)
            if page.tickets:
                yield [dict(zip(self.fields, self._values(row), strict=True)) for row in page.tickets]
            if page.next is None:
                return
            query = replace(query, after=page.next)

    def _values(self, row: Row) -> tuple[Any, ...]:
        return (
            row["ticket_number"],
            row["ticket_type"],
            row["status"],
            row["patient_name"],
            row["doctor_name"],
            row["receiver_name"],
            instant_text(row["created_at"]),
            instant_text(row["sent_at"]),
            instant_text(row["waits_since"]),
            row["unread"],
        )
