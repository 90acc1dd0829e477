"""No page about messages to patients reads a big table from end to end, whatever is filtered and wherever a page begins."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dashboard import comm_failed_queries, comm_patient_queries
from dashboard.comm_patient_queries import Place
from dashboard.comm_patients import FILTERS
from dashboard.days import microseconds_of
from dispatchlog.systems.outreach.states import Channel
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard
from tests.dashboard.patient_rows import NOW
from tests.dashboard.test_plans import read_whole, statements
from tests.outreach import builders


def test_every_page_walks_indexes(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comm_patient_queries, "PAGE_LINES", 1)
    monkeypatch.setattr(comm_failed_queries, "PAGE_ROWS", 1)
    clinic = builders.organization()
    provider = builders.provider(clinic)
    patient_id = builders.patient(organization_id=clinic, provider_id=provider)
    for _ in range(2):
        patient_rows.failed(patient_id)
        patient_rows.moved(patient_id, "SENT", bounced_at=NOW)
    job = patient_rows.planned(patient_id)
    place = Place(NOW, "z")
    before = f"older.{microseconds_of(NOW + timedelta(days=1))}.{job.hex}"
    link, message = (
        patient_rows.preferences_link(patient_id, Channel.SMS),
        patient_rows.message_link(patient_id, job, "Text"),
    )
    page = f"/outreach/patients/{patient_id}"
    addresses = [
        *(f"{page}?show={show}" for show in FILTERS),
        *(f"{page}?show={show}&after={place}" for show in FILTERS),
        f"{page}/preferences",
        "/outreach/patients",
        f"/outreach/patients?at={before}",
        f"/outreach/patients?at={before.replace('older', 'newer')}",
        "/outreach/failed",
        f"/outreach/failed?at={before}",
        "/outreach/failed?show=came-back",
        f"/outreach/failed?show=came-back&at={before}",
        *(f"/outreach/optimiser?kind={kind}" for kind in ("hour", "channel", "content")),
        "/outreach/preferences",
        f"/outreach/preferences?level=organization&of={clinic}",
        f"/outreach/preferences?level=provider&of={provider}",
        "/outreach/preferences?level=provider",
        f"/dispatches/comm_job/{job}",
        "/incidents",
        link,
        f"{link}/one-click",
        message,
    ]
    visitor = dash.as_("admin")
    bad = []
    for address in addresses:
        with statements() as asked:
            assert visitor.get(address).status_code == 200, address
        bad += [(address, table, sql) for sql, parameters in asked for table in read_whole(sql, parameters)]
    assert bad == []
