"""Every command of the documentation is carried out, page by page in its order, or stands here with the reason why not."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dashboard import create_app
from dispatchlog.broker import get_broker, get_waker
from dispatchlog.cli import main
from dispatchlog.engine.database import configure, database
from dispatchlog.gateways.hl7_exchange import Exchange
from dispatchlog.gateways.hl7_exchange_servers import MllpSide
from dispatchlog.service_tokens import SCOPES, create_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import kit_upstream, registry
from dispatchlog.systems.courier import couriers
from tests.dashboard.browsing import served
from tests.docs import world
from tests.docs.commands_guide import REFERENCE, rows
from tests.docs.reading import PAGES, ROOT, Command, commands
from tests.scenarios.processes import mailbox, running

# Commands that go on until they are ended, or need what a test has no right to: where else each is carried out, or why it
# is not. Beginnings of commands; a test named here has to exist.
ELSEWHERE = {
    "dispatchlog up": "tests/local/test_up.py",
    "dispatchlog worker": "tests/scenarios/test_kits_end_to_end.py",
    "dispatchlog scheduler": "tests/scenarios/test_kits_end_to_end.py",
    "dispatchlog dashboard": "tests/scenarios/test_upgrade.py",
    "dispatchlog sockets": "tests/sockets",
    "dispatchlog courier sandbox": "tests/gateways",
    "dispatchlog outreach sandbox": "tests/gateways",
    "dispatchlog hl7 listen": "tests/gateways",
    "dispatchlog migrate down": "tests/migrations/test_migrations.py",
    "dispatchlog restored": "tests/scenarios/test_restore.py",
    "pg_": "tests/scenarios/test_restore.py",
    "psql": "tests/scenarios/test_restore.py",
    "createdb": "tests/scenarios/test_restore.py",
    "QUICK=1 make bench": "tests/test_bench.py",
    "make bench": "tests/test_bench.py",
    "make chaos": "tests/scenarios/test_chaos.py",
    "make hosts": "tests/scenarios/test_hosts.py",
    "make sast": "part of make test; its rules: tests/security/test_own_rules.py",
    "make audit": "tests/security/test_supply_chain.py",
    "make sbom": "tests/security/test_supply_chain.py",
    "make fuzz": "tests/security/test_fuzzing.py",
    "make scan": "attacks a dashboard with a browser's crawler for the better part of an hour",
    "python -m bench": "tests/test_bench.py",
    "python -m chaos": "tests/scenarios/test_chaos.py",
    "python -m tests.exploration": "tests/exploration",
    "python -m tests.settings_guide": "tests/test_settings.py",
    "python -m tests.docs.commands_guide": "tests/docs/test_commands.py",
    "python -m pytest": "it is what runs this",
    "make test": "it is what runs this",
    "make run": "installs packages; what it starts then is `dispatchlog up`",
    "PORT=9000 make run": "as make run",
    "make lock": "writes the versions that are installed to a file of this repository",
    "pip install": "installs packages",
    "python3 -m venv": "installs packages",
    "ruff": "part of make test",
    "mypy": "part of make test",
    "lint-imports": "part of make test",
    "useradd": "for a machine that runs the product",
    "install -m": "for a machine that runs the product",
    "cp systemd/": "for a machine that runs the product",
    "systemctl": "for a machine that runs the product",
    "grep -h DISPATCH_FAILED /var/log": "for a machine that runs the product",
    "export DISPATCHLOG_ENVIRONMENT=production": "a sketch of settings with dots in it",
}
# What is refused rightly, for the world of the tests is not as far as the page: a part of the command, and the refusal.
REFUSED = {
    "/otp/verify": "DISPATCH_NOT_IN_TRANSIT",
    "/otp/resend": "DISPATCH_NOT_IN_TRANSIT",
    "hl7 school test CODE": "mllp.example.org is not known here",
    "users reset-second-factor": "NO_SECOND_FACTOR",
    "keys retire NUMBER": "KEY_TOO_NEW",  # ten minutes have not passed
}


@dataclass
class Reader:
    """Somebody who types what a page says, in a folder of their own."""

    folder: Path
    url: str
    env: dict[str, str] = field(default_factory=dict)

    def try_out(self, command: Command) -> str:
        """What went wrong; "": nothing."""
        said = self._carry_out(command)
        if command.inline:
            world.go_on()
        code = next((code for part, code in REFUSED.items() if part in command.text), None)
        if code is None:
            return said
        return "" if code in said and said else f"not refused with {code}: {said}"

    def _carry_out(self, command: Command) -> str:
        if _is_elsewhere(command):
            return ""
        text = world.filled(_without_venv(command.text))
        if text.split()[0] == "dispatchlog" and not set(text) & set("|$;&"):
            return self._dispatchlog(shlex.split(text)[1:], named=command.inline)
        return self._shell(text)

    def _dispatchlog(self, arguments: list[str], *, named: bool) -> str:
        if named and _is_a_name(arguments):
            arguments = [*arguments, "--help"]
        kept = Path.cwd()
        os.chdir(self.folder)
        try:
            done = CliRunner().invoke(main, arguments, input="y\n")
        finally:
            os.chdir(kept)
            _open_log()  # a command of the tables' owner leaves this process as the owner
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return f"{done.exception!r}"
        return "" if done.exit_code == 0 else f"exit code {done.exit_code}: {done.output.strip()}"

    def _shell(self, text: str) -> str:
        """In a real shell; what it exports holds for the commands that follow."""
        text = text.replace("https://dispatch.example.org", self.url).replace("http://127.0.0.1:8000", self.url)
        kept = self.folder / "environment"
        script = f'curl() {{ command curl --silent --show-error --write-out "\\n%{{http_code}}" "$@"; }}\n{text}\n'
        script += f"code=$?; env -0 > {kept}; exit $code"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**os.environ, **self.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return f"exit code {done.returncode}: {done.stderr.strip()}"
        self.env.update(part.split("=", 1) for part in kept.read_text().split("\0") if part.startswith("TOKEN="))
        return _refusal(done.stdout) if text.startswith("curl ") else ""


def _without_venv(text: str) -> str:
    return re.sub(r"(?<![\w/-])\.venv/bin/", "", text)


def _is_elsewhere(command: Command) -> bool:
    text = _without_venv(command.text)
    return text == "make" or any(text.startswith(beginning) for beginning in ELSEWHERE)


def _is_a_name(arguments: list[str]) -> bool:
    """Whether it only names a command, or a group of them."""
    found: click.Command = main
    for word in arguments:
        known = found.commands.get(word) if isinstance(found, click.Group) else None
        if known is None:
            return False
        found = known
    return isinstance(found, click.Group) or any(each.required for each in found.params)


def _refusal(said: str) -> str:
    body, _, status = said.rpartition("\n")
    return "" if status.startswith("2") else f"{status}: {body}"


@pytest.fixture
def reader(settings_env: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    with ExitStack() as stack:
        smtp = stack.enter_context(mailbox(tmp_path / "mail", env={}, log=tmp_path / "log"))
        monkeypatch.setenv("DISPATCHLOG_SMTP_URL", f"smtp://127.0.0.1:{smtp}?tls=none")
        monkeypatch.setenv("DISPATCHLOG_COURIER", "generic")
        monkeypatch.setenv("DISPATCHLOG_COURIER_URL", "http://127.0.0.1:9")  # nobody: the courier waits
        monkeypatch.setenv("DISPATCHLOG_COURIER_TOKEN", "a token of the tests")
        _forget_settings()
        stack.callback(_forget_settings)
        _open_log()
        stack.callback(database.close_all)
        exchange = MllpSide(Exchange())
        stack.callback(exchange.close)
        world.prepare(tmp_path, exchange_port=exchange.port)
        stack.enter_context(
            running("-m", "dispatchlog.cli", "worker", "--processes", "1", env={}, log=tmp_path / "log")
        )
        url = stack.enter_context(served(create_app(get_settings())))
        yield Reader(tmp_path, url, {"TOKEN": create_token("docs", list(SCOPES), "docs")})


def _forget_settings() -> None:
    """And everything that an earlier test had made of other ones: a world without a courier books none."""
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    couriers.forget()
    registry.forget()
    kit_upstream.forget()


def _open_log() -> None:
    settings = get_settings()
    configure(settings.database_url, role=settings.application_role, name="docs", max_connections=20)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != REFERENCE and not all(map(_is_elsewhere, commands(page)))]
)
def test_the_commands_of_a_page_work(page: str, reader: Reader) -> None:
    wrong = [f"{command.text}\n    {said}" for command in commands(page) if (said := reader.try_out(command))]
    assert not wrong, "\n".join(wrong)


def test_what_is_carried_out_elsewhere_is() -> None:
    tests = [place for place in ELSEWHERE.values() if place.startswith("tests/")]
    assert tests
    assert [place for place in tests if not (ROOT / place).exists()] == []


def test_the_reference_has_every_command_of_the_program() -> None:
    """What differs is shown; what the program says is right."""
    told = [line for line in (ROOT / REFERENCE).read_text("utf-8").splitlines() if line.startswith("| `")]
    assert told == rows(), "write it anew with: python -m tests.docs.commands_guide"
