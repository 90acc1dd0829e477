"""The files in deploy/: each starts a command that there is, every lane has a worker, and what ends is started again.

Container files are read and linted here, not run: no engine is needed.
"""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from dispatchlog.cli import main
from dispatchlog.settings import Settings
from dispatchlog.systems import registry

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
COMPOSE = DEPLOY / "compose.yaml"
SERVICES = YAML(typ="safe").load(COMPOSE)["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "dispatchlog")
PROGRAMS = Path(sys.executable).parent
# Of 100, as `systemd-analyze security` counts.
MOST_EXPOSED = 20
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
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read(path)
    options = re.findall(r"^(\w+)=", path.read_text(), re.MULTILINE)
    assert {option for option in options if options.count(option) > 1} <= {"EnvironmentFile", "SystemCallFilter"}
    service = unit["Service"]
    command = service["ExecStart"].replace("/opt/dispatchlog/bin/", "")
    for name in ("worker", "scheduler", "dashboard", "sockets") if "%i" in command else ("",):
        parsed(command.replace("%i", name))
    assert service["Restart"] == "always"
    assert service["StandardOutput"] != service["StandardError"]
    # `dispatchlog worker` itself waits 35 s for a row that is being sent.
    assert float(service["TimeoutStopSec"]) > 35


def hardening(path: Path) -> str:
    return path.read_text().partition("\nUMask=")[2].partition("[Install]")[0]


def test_all_units_are_hardened_alike_and_still_see_the_name_of_this_boot() -> None:
    assert len({hardening(path) for path in UNITS}) == 1
    assert "ProtectSystem=strict" in hardening(UNITS[0])
    assert "ProcSubset=" not in hardening(UNITS[0])


@pytest.fixture
def installed_units(tmp_path: Path) -> list[Path]:
    """The units as on a machine: templates with an instance, and a program that is there."""
    made = []
    for path in UNITS:
        unit = tmp_path / path.name.replace("@.", "@worker.")
        unit.write_text(path.read_text().replace("/opt/dispatchlog/bin/dispatchlog", sys.executable))
        made.append(unit)
    return made


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_units(installed_units: list[Path]) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, installed_units)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    ours = [line for line in done.stderr.splitlines() if "dispatchlog" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
def test_a_service_that_is_broken_into_can_do_little_to_its_machine(installed_units: list[Path]) -> None:
    for unit in installed_units:
        subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit)],
            check=True,
            capture_output=True,
            timeout=120,
        )


def test_the_linter_of_container_files_has_nothing_to_say() -> None:
    subprocess.run([PROGRAMS / "hadolint", str(CONTAINERFILE)], check=True, timeout=120)


def test_the_compose_file_keeps_to_the_specification() -> None:
    subprocess.run(
        [PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        check=True,
        timeout=120,
    )


def test_compose_starts_all_there_is_and_nothing_else() -> None:
    commands = [parsed("dispatchlog " + shlex.join(SERVICES[name]["command"]))[0] for name in OURS]
    assert sorted(commands) == ["dashboard", "migrate", "scheduler", "sockets", "worker"]
    assert SERVICES["migrate"]["command"] == ["migrate", "up"]


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_can_write_nothing_and_may_do_nothing(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "hostname" not in service
    assert "privileged" not in service


def test_every_published_port_is_of_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_image_does_not_run_as_root_and_copies_what_there_is() -> None:
    text = CONTAINERFILE.read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    copied = [word for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE) for word in line.split()[:-1]]
    assert all((DEPLOY.parent / word).exists() for word in copied)
    allowed = {line[1:] for line in (DEPLOY.parent / ".dockerignore").read_text().splitlines() if line[0] == "!"}
    assert allowed == set(copied)


def test_every_setting_that_is_named_in_deploy_is_one() -> None:
    known = {f"DISPATCHLOG_{name.upper()}" for name in Settings.model_fields}
    # What roles.sh alone reads, on the database's side.
    known |= {"DISPATCHLOG_OWNER_PASSWORD", "DISPATCHLOG_LOGIN_PASSWORD"}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {name for path in files for name in re.findall(r"\bDISPATCHLOG_[A-Z0-9_]+\b", path.read_text())}
    assert named
    assert named <= known


def test_the_unit_of_the_hl7_lane_works_on_nothing_else() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(DEPLOY / "systemd" / "dispatchlog-hl7.service")
    name, options = parsed(unit["Service"]["ExecStart"].replace("/opt/dispatchlog/bin/", ""))
    assert (name, options["lanes"]) == ("worker", ("hl7",))
