"""Turning the optimiser on and off: never without a proof, and the proof is one that chance does not give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from dispatchlog.engine.database import connected, execute
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.optimiser import modes, proving, switching
from dispatchlog.systems.outreach.optimiser.replay import replay
from dispatchlog.systems.outreach.optimiser.switching import Standing, set_mode
from tests.outreach import builders, chosen


@pytest.fixture(autouse=True)
def forgets(application: Settings) -> Iterator[None]:
    modes.empty()
    yield
    modes.empty()


def standing(kind: str = "channel") -> Standing:
    [found] = [each for each in switching.every_standing() if each.kind == kind]
    return found


def turn(mode: str, *, reason: str = "To see what it does.", based_on: int | None = None) -> Standing:
    return set_mode("channel", mode, based_on=based_on or standing().version, asker=builders.STAFF, reason=reason)


def refused(mode: str, **values: object) -> OutreachError:
    with pytest.raises(OutreachError) as caught:
        turn(mode, **values)  # type: ignore[arg-type]
    return caught.value


def test_every_kind_is_off_at_first() -> None:
    assert [(each.kind, each.mode) for each in switching.every_standing()] == [
        ("hour", "off"),
        ("channel", "off"),
        ("content", "off"),
    ]


def test_learning_may_begin_at_any_time_with_a_reason_that_stays() -> None:
    assert modes.modes()["channel"] == "off"
    found = turn("learning", reason="A year of refills to learn from.")
    assert (found.mode, found.version, found.changed_by) == ("learning", 2, builders.STAFF.actor)
    assert modes.modes()["channel"] == "learning"
    [line] = builders.rows("SELECT actor, reason, detail FROM operator_actions WHERE action = 'optimiser_mode'")
    assert line["reason"] == "A year of refills to learn from."
    assert line["detail"] == {"kind": "channel", "from": "off", "to": "learning"}


def test_it_is_not_turned_on_before_enough_is_known() -> None:
    error = refused("on")
    assert error.code == "NOT_PROVEN"
    assert error.present["decisions"] == 0
    assert standing().mode == "off"


def test_it_is_turned_on_by_a_proof_and_the_proof_is_kept() -> None:
    chosen.log(patients=150, each=40)
    found = turn("on")
    assert found.mode == "on"
    evidence = standing().evidence
    assert (evidence["holds"], evidence["decisions"]) == (True, 6_000)
    assert evidence["win"][1] > 0
    assert evidence["shuffled"][1] <= 0 <= evidence["shuffled"][2]


def test_where_all_channels_do_alike_it_proves_nothing_and_stays_as_it_is() -> None:
    chosen.log(patients=150, each=40, has_favourite=False)
    error = refused("on")
    assert error.code == "NOT_PROVEN"
    assert error.present["win"][1] <= 0
    assert standing().mode == "off"


def test_a_win_that_drives_patients_away_is_none() -> None:
    chosen.log(patients=150, each=40, opted_out=(0.0, 0.2))
    error = refused("on")
    assert error.present["win"][1] > 0
    assert "want no more messages" in error.message


def test_what_is_on_and_proves_nothing_any_more_goes_back_to_learning() -> None:
    chosen.log(patients=150, each=40, has_favourite=False)
    with connected():
        execute("UPDATE comm_optimiser SET mode = 'on' WHERE kind = 'channel'")
    switching.look_again()
    found = standing()
    assert (found.mode, found.changed_by) == ("learning", "system")
    assert found.reason == "The log does not prove any more that it helps."


def test_what_is_on_stays_on_while_too_little_is_known_and_while_it_helps() -> None:
    with connected():
        execute("UPDATE comm_optimiser SET mode = 'on' WHERE kind = 'channel'")
    switching.look_again()
    assert standing().mode == "on"
    chosen.log(patients=150, each=40)
    switching.look_again()
    assert standing().mode == "on"


@pytest.mark.parametrize(
    ("mode", "values", "code"),
    [
        ("sometimes", {}, "UNKNOWN_MODE"),
        ("learning", {"reason": "  "}, "REASON_REQUIRED"),
        ("learning", {"based_on": 7}, "VERSION_CONFLICT"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(mode: str, values: dict[str, object], code: str) -> None:
    assert refused(mode, **values).code == code
    assert (standing().mode, standing().version) == ("off", 1)


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(OutreachError) as caught:
        set_mode("colour", "learning", based_on=1, asker=builders.STAFF, reason="So that it is.")
    assert caught.value.code == "UNKNOWN_KIND"


def test_a_decision_is_judged_by_what_was_known_before_it() -> None:
    """What came afterwards changes nothing of what would have been decided."""
    chosen.log(patients=40, each=20)
    with connected():
        log = proving.read_log("channel")
    assert log is not None
    half = len(log) // 2
    day = np.floor(log.chosen_at[half + 100])
    later = log.closed_at >= day
    other = replace(log, reward=np.where(later, 1 - log.reward, log.reward))
    before, after = (replay(each, judged_from=half, seed=3) for each in (log, other))
    known = np.floor(log.chosen_at[before.at]) <= day
    assert known.sum() > 50
    assert (before.optimiser[known] == after.optimiser[known]).all()
    assert (before.fixed[known] == after.fixed[known]).all()
    assert (before.optimiser[~known] != after.optimiser[~known]).any()
