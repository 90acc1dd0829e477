"""Processes that write out and release a campaign are killed over and over: everybody has each step once, with one text."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_all
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.campaigns import drawing
from dispatchlog.systems.outreach.campaigns.store import Campaign
from tests.outreach.campaign_builders import SECOND, STEP, begun, lines, messages, people, read, texts, time_passes
from tests.outreach.conftest import application

__all__ = ["application"]

# After how many statements the two processes of a round die, each a different way into what they were doing.
WRITING_OUT = ((3, 7), (11, 17), (19, 26), (35, 47))
NEXT_STEP = ((8, 13), (21, 34))


def processes(*statements: int) -> list[int]:
    """Two at once; how they ended."""
    started = [
        subprocess.Popen([sys.executable, "-m", "tests.scenarios.campaign_process", str(number)])
        for number in statements
    ]
    return [process.wait(timeout=240) for process in started]


def killed_until_done(rounds: Sequence[tuple[int, int]]) -> int:
    """Kill them in the middle of things, then let one go on to the end; how many were killed."""
    ends = [end for each in rounds for end in processes(*each)]
    assert processes(0) == [0]
    return ends.count(-signal.SIGKILL)


def every_line_once(campaign: Campaign, step: str, wanted: set[UUID]) -> None:
    """Each of them has the step's line MADE with a message of its own, and there is no other message of it."""
    with connected():
        found = fetch_all(
            "SELECT s.patient_id, count(*), count(j.id) FROM comm_campaign_sends s LEFT JOIN comm_jobs j ON j.id = s.job_id"
            " AND j.patient_id = s.patient_id AND j.campaign_step = s.step WHERE s.campaign_id = %s AND s.step = %s"
            " AND s.state = 'MADE' GROUP BY 1",
            (campaign.id, step),
        )
    assert {row[0] for row in found} == wanted
    assert {row[1:] for row in found} == {(1, 1)}
    assert len([each for each in messages(campaign) if each["campaign_step"] == step]) == len(wanted)


def test_whoever_is_killed_in_the_middle_leaves_nobody_out_and_takes_nobody_twice(application: Settings) -> None:
    texts()
    readers = people(60)
    campaign = begun(STEP, SECOND, control_percent=10)
    assert killed_until_done(WRITING_OUT) >= 6
    treated = {each for each in readers if not drawing.is_held_out(each, campaign.id, 10)}
    assert [*lines(campaign)] == readers
    assert {each for each, line in lines(campaign).items() if line["state"] == "HELD_OUT"} == {*readers} - treated
    assert read(campaign).audience == 60
    every_line_once(campaign, "first", treated)
    assert {*lines(campaign, "second")} == treated
    with connected():
        assert fetch_all("SELECT FROM comm_campaign_audience") == []
        execute("UPDATE comm_jobs SET status = 'CANCELLED'")
    time_passes(campaign)
    assert killed_until_done(NEXT_STEP) >= 2
    every_line_once(campaign, "second", treated)
    assert len(messages(campaign)) == 2 * len(treated)
