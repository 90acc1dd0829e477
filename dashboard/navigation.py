"""What the menu shows, as data: one line per entry. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import current_app, request, url_for

from dashboard.access import AUDIT, MANAGE, READ, may
from dashboard.doubt_queries import number_in_doubt


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu: the page it opens, its words and icon, and who sees it.

    It is marked as the present one on every page of its blueprint, or only on its own where `exact`. `count` is what
    stands behind it (falsy: nothing).
    """

    endpoint: str
    label: str
    icon: str
    permission: str = READ
    exact: bool = False
    count: Callable[[], object] | None = None

    @property
    def address(self) -> str:
        return url_for(self.endpoint)

    @property
    def is_here(self) -> bool:
        if self.exact:
            return request.endpoint == self.endpoint
        return request.blueprint == self.endpoint.partition(".")[0]


WORK = (
    Entry("overview.show", "Overview", "home"),
    Entry("doubts.show", "In doubt", "help", count=number_in_doubt),
    Entry("incidents.show", "Incidents", "alert"),
    Entry("dispatches.every_lane", "All dispatches", "list", exact=True),
    Entry("upcoming.show", "What leaves next", "clock"),
    Entry("subjects.find", "Stories", "pulse"),
    Entry("bulk.every_run", "Bulk actions", "stack"),
    Entry("kit_orders.every_order", "Kit orders", "box"),
    Entry("pausing.show", "Pausing", "pause"),
    Entry("alerts.show", "Alerts", "alert"),
)
OFFICE: tuple[Entry, ...] = (
    Entry("audit.show", "Who did what", "journal", AUDIT),
    Entry("people.every_person", "People", "people", MANAGE),
    Entry("roles.show", "Roles", "shield", MANAGE),
)


def visible(entries: Sequence[Entry]) -> list[Entry]:
    """Those whose page exists in this application and whoever is signed in may open."""
    return [entry for entry in entries if entry.endpoint in current_app.view_functions and may(entry.permission)]
