"""The files in deploy/: each starts a command that there is, every lane has a worker, and what ends is started again."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import click
import pytest

from dispatchlog.cli import main
from dispatchlog.systems import registry

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
PROCFILE = dict(line.split(": ", 1) for line in (DEPLOY / "Procfile").read_text().splitlines())


def parsed(command: str) -> tuple[str, dict[str, object]]:
    """The command's name and its options, as the command line reads them."""
    words = shlex.split(command.partition(">>")[0])
    name, arguments = words[words.index("dispatchlog") + 1], words[words.index("dispatchlog") + 2 :]
    known = main.get_command(click.Context(main), name)
    assert known is not None, command
    return name, known.make_context(name, arguments).params


def test_the_procfile_starts_all_there_is_and_each_lane_has_one_worker() -> None:
    lines = [parsed(command) for command in PROCFILE.values()]
    assert {name for name, _ in lines} == {"worker", "scheduler", "dashboard", "sockets"}
    lanes = [lane for _, options in lines for lane in options.get("lanes", ())]  # type: ignore[attr-defined]
    assert sorted(lanes) == sorted(lane.name for lane in registry.lanes())


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_restarts_its_command_and_keeps_errors_apart(path: Path) -> None:
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read(path)
    service = unit["Service"]
    command = service["ExecStart"].replace("/opt/dispatchlog/bin/", "")
    for name in ("worker", "scheduler", "dashboard", "sockets") if "%i" in command else ("",):
        parsed(command.replace("%i", name))
    assert service["Restart"] == "always"
    assert service["StandardOutput"] != service["StandardError"]
    # `dispatchlog worker` itself waits 35 s for a row that is being sent.
    assert float(service["TimeoutStopSec"]) > 35


def test_the_unit_of_the_hl7_lane_works_on_nothing_else() -> None:
    unit = configparser.RawConfigParser()
    unit.read(DEPLOY / "systemd" / "dispatchlog-hl7.service")
    name, options = parsed(unit["Service"]["ExecStart"].replace("/opt/dispatchlog/bin/", ""))
    assert (name, options["lanes"]) == ("worker", ("hl7",))
