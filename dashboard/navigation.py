"""What the menu shows, as data: one line per entry. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import current_app, request, url_for

from dashboard.access import AUDIT, MANAGE, OUTREACH, OVERSEE, READ, TICKETS, may
from dashboard.comm_inbox_queries import number_of_wishes, number_waiting
from dashboard.doubt_queries import number_in_doubt
from dashboard.ticket_numbers import number_unread


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu: the page it opens, its words and icon, and who sees it.

    It is marked as the present one on every page of its blueprint and of those in `also`, or only on its own where
    `exact`. `count` is what stands behind it (falsy: nothing), `key` what opens it after a "g".
    """

    endpoint: str
    label: str
    icon: str
    permission: str = READ
    exact: bool = False
    count: Callable[[], object] | None = None
    key: str = ""
    also: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return url_for(self.endpoint)

    @property
    def is_here(self) -> bool:
        if self.exact:
            return request.endpoint == self.endpoint
        return request.blueprint in (self.endpoint.partition(".")[0], *self.also)


# What needs somebody comes first, then what one looks for, then what one does to many at once.
WORK = (
    Entry("overview.show", "Overview", "home", key="o"),
    Entry(
        "tickets.every_ticket",
        "Tickets",
        "mail",
        TICKETS,
        count=number_unread,
        key="m",
        also=("ticket", "ticket_new", "prescription_form"),
    ),
    Entry("alerts.show", "Alerts", "bell", key="l"),
    Entry("doubts.show", "In doubt", "help", count=number_in_doubt, key="d"),
    Entry("incidents.show", "Incidents", "alert", key="i"),
    Entry("dispatches.every_lane", "All dispatches", "list", exact=True, key="a"),
    Entry("upcoming.show", "What leaves next", "clock", key="n"),
    Entry("subjects.find", "Stories", "pulse", key="s"),
    Entry(
        "courier_orders.every_order",
        "Orders",
        "truck",
        key="t",
        also=("courier_order", "courier_actions", "courier_analytics"),
    ),
    Entry("kit_orders.every_order", "Kit orders", "box", key="k"),
    Entry("ticket_overview.every_ticket", "Tickets", "care", OVERSEE, key="m"),
    Entry("bulk.every_run", "Bulk actions", "stack", key="b"),
    Entry("pausing.show", "Pausing", "pause", key="p"),
)
# Messages to patients.
PATIENTS: tuple[Entry, ...] = (
    Entry("comm_patients.every_patient", "Patients", "person", OUTREACH, key="v", also=("comm_patient_preferences",)),
    Entry("comm_inbox.show", "Inbox", "mail", OUTREACH, count=number_waiting, key="z"),
    Entry("comm_requests.show", "Reschedule requests", "retry", OUTREACH, count=number_of_wishes),
    Entry("comm_failed.show", "Failed messages", "alert", OUTREACH, key="x"),
    Entry("comm_templates.every_template", "Templates", "edit", OUTREACH, also=("comm_template_editor",)),
    Entry("comm_preferences.show", "Preferences", "clock", OUTREACH),
    Entry("segments.every_segment", "Segments", "filter", OUTREACH),
    Entry("campaigns.every_campaign", "Campaigns", "send", OUTREACH, also=("campaign_editor", "campaign_preview")),
    Entry("comm_analytics.show", "Analytics", "chart", OUTREACH, also=("comm_rates",)),
    Entry("optimiser.show", "Optimiser", "chart", OUTREACH),
)
OFFICE: tuple[Entry, ...] = (
    Entry("hl7_messages.every_message", "HL7 Messages", "care", MANAGE, key="h", also=("hl7_message", "hl7_rewrite")),
    Entry("hl7_endpoints.every_school", "Schools", "server", MANAGE, key="c"),
    Entry("pharmacies.every_pharmacy", "Pharmacies", "store", MANAGE, key="f"),
    Entry("audit.show", "Who did what", "journal", AUDIT, key="w"),
    Entry("data_life.show", "Data", "server", MANAGE),
    Entry("people.every_person", "People", "people", MANAGE, key="e"),
    Entry("roles.show", "Roles", "shield", MANAGE, key="r"),
)


def visible(entries: Sequence[Entry]) -> list[Entry]:
    """Those whose page exists in this application and whoever is signed in may open."""
    return [entry for entry in entries if entry.endpoint in current_app.view_functions and may(entry.permission)]


def pages_by_key() -> dict[str, str]:
    """The addresses of the pages that a key opens, for whoever is signed in."""
    return {entry.key: entry.address for entry in visible((*WORK, *PATIENTS, *OFFICE)) if entry.key}
