"""The texts that everybody begins with: complete, short enough, and written once."""

from __future__ import annotations

import threading

import pytest

from dispatchlog.engine.database import connected
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import templates
from dispatchlog.systems.outreach.gsm import count_segments
from dispatchlog.systems.outreach.rendering import as_counted, preview
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates, standard_templates
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.template_checks import as_template, checked
from dispatchlog.systems.outreach.templates import TemplateInput
from tests.outreach.builders import STAFF, rows

EVERY = list(standard_templates())


def name(wanted: TemplateInput) -> str:
    return f"{wanted.purpose}-{wanted.channel}-{wanted.language}"


def test_every_purpose_has_every_channel_and_appointments_every_language() -> None:
    there = {(each.purpose, each.channel, each.language) for each in EVERY}
    assert len(there) == len(EVERY)
    for channel in Channel:
        for purpose in Purpose:
            assert {(purpose, channel, language) for language in ("en", "es", "fr", "ar", "pt")} <= there
        for purpose in (Purpose.APPT_CONFIRM, Purpose.APPT_REMINDER):
            assert {(purpose, channel, language) for language in ("hi", "yo")} <= there


@pytest.mark.parametrize("wanted", EVERY, ids=name)
def test_it_may_be_kept_and_is_short(wanted: TemplateInput) -> None:
    made = as_template(checked(wanted))
    # The longest weekday and month that an appointment can have.
    for at in ("2026-09-23T22:30:00+00:00", "2026-02-28T22:30:00+00:00"):
        values = {"starts_at": at} if any(each.name == "starts_at" for each in made.variables) else {}
        found = preview(made, values)
        assert found.portal_mark == ""
        if wanted.channel is Channel.SMS:
            text = as_counted(found.body).replace("Example Clinic", "Northside Family Practice")
            assert count_segments(text).number <= 2, text


def test_they_are_written_once_and_never_over_somebodys_own(application: Settings) -> None:
    with connected():
        assert ensure_standard_templates() == len(EVERY)
        assert ensure_standard_templates() == 0
        mine = next(each for each in templates.every_template() if each.channel is Channel.EMAIL)
        templates.set_active(mine.id, active=False, asker=STAFF)
        assert ensure_standard_templates() == 0
        assert not templates.template(mine.id).is_active


@pytest.mark.usefixtures("application")
def test_two_that_begin_together_write_them_once() -> None:
    barrier, written = threading.Barrier(2), []

    def begin() -> None:
        barrier.wait()
        with connected():
            written.append(ensure_standard_templates())

    both = [threading.Thread(target=begin) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted(written) == [0, len(EVERY)]
    assert rows("SELECT count(*) AS number FROM comm_templates") == [{"number": len(EVERY)}]
