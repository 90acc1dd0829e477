"""The commands `dispatchlog hl7`: a test exchange, sending by hand, schools and endpoints. Owns words, not rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from dispatchlog.shell import MARKS, explained, fail, on_database, settings_with_database, show_table


@click.group()
def hl7() -> None:
    """HL7 messages and the exchanges that take them."""


@hl7.command("listen")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=2575, show_default=True, help="MLLP; 0 takes a free one."
)
@click.option("--http-port", type=click.IntRange(0, 65_535), help="The same over HTTP, or HTTPS with a certificate.")
@click.option("--certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Speak TLS with it.")
@click.option("--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The certificate's key.")
@click.option(
    "--client-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask clients for a certificate of this authority.",
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='What to answer, as JSON: {"rules": [{"patient": "S-1", "answer": {"code": "AE", "error": "207"}}]}.',
)
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Append what was taken to this file.")
@click.option("--api-key", default="", help="What the HTTP side wants in X-API-Key.")
@click.option("--dedupe/--no-dedupe", "dedupes", default=True, help="Whether a resend is recognised by its control id.")
def hl7_listen(**options: Any) -> None:
    """Run a test exchange: it takes HL7 messages and prints a line for each, without patient data."""
    from dispatchlog.gateways.hl7_exchange import Options, run

    try:
        run(Options(**options), say=click.echo)
    except (OSError, ValueError) as error:
        fail(f"The exchange cannot start ({error}).", code="CANNOT_LISTEN")


@hl7.command("send-now")
@click.argument("messages", metavar="[MESSAGE_ID]...", nargs=-1, type=click.UUID)
@click.option("--pending", is_flag=True, help="Every message that waits.")
@click.option("--reason", default="sent by hand", show_default=True, help="Stays with each message.")
@explained
def hl7_send_now(messages: tuple[UUID, ...], *, pending: bool, reason: str) -> None:
    """Send messages from this shell, without a worker (or beside one), and say what became of each.

    They go as a worker would send them: in order, at the endpoint's pace. Exit code 1 if one was not sent.
    """
    from dispatchlog.systems.hl7 import by_hand
    from dispatchlog.worker import by_hand as in_this_process

    if bool(messages) == pending:
        raise click.UsageError("Name messages, or say --pending.")
    settings = settings_with_database()
    unsent = 0
    with in_this_process(settings) as runtime:
        wanted = by_hand.pending() if pending else list(messages)
        for each in by_hand.send_now(wanted, runtime, actor="cli", reason=reason):
            unsent += each.status != "SENT"
            click.echo(f"{each.message_id}  {each.school}  {each.status}{'  ' if each.why else ''}{each.why}")
        if not wanted:
            click.echo("nothing waits")
    sys.exit(1 if unsent else 0)


@hl7.group("school")
def hl7_school() -> None:
    """Schools and the endpoints that take their messages."""


@hl7_school.command("add")
@click.argument("code")
@click.argument("name")
@on_database
def hl7_school_add(code: str, name: str) -> None:
    """Add a school; its endpoint is switched off until it is set."""
    from dispatchlog.systems.hl7.schools import add_school

    school = add_school(code, name, actor="cli")
    click.echo(f"{school.code}: added; its endpoint is off, set it with: dispatchlog hl7 school set {school.code} ...")


@hl7_school.command("list")
@on_database
def hl7_school_list() -> None:
    """List the schools and whether messages leave by their endpoints."""
    from dispatchlog.systems.hl7.schools import schools

    found = schools()
    if found:
        show_table((school.code, "on" if school.enabled else "off", school.name) for school in found)
    else:
        click.echo("There is no school yet; add one with: dispatchlog hl7 school add CODE NAME")


@hl7_school.command("set")
@click.argument("code")
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--secret-from-stdin",
    type=click.Choice(["api_key", "client_key_pem"]),
    help="Read this secret from standard input; empty takes it away.",
)
@click.option("--file", "files", multiple=True, metavar="NAME=PATH", help="Read a certificate from a file.")
@click.option("--reason", default="", help="Why; kept with the change.")
@on_database
def hl7_school_set(
    code: str, settings: tuple[str, ...], files: tuple[str, ...], secret_from_stdin: str | None, reason: str
) -> None:
    """Change settings of a school's endpoint, such as host=mllp.example.org port=2575 enabled=on."""
    from dispatchlog.systems.hl7.school_settings import read
    from dispatchlog.systems.hl7.schools import SECRETS, SchoolError, change_endpoint

    given: dict[str, str] = {}
    for each in (*settings, *files):
        name, sign, value = each.partition("=")
        if not sign:
            fail(f"{each[:40]!r} is not NAME=VALUE", code="BAD_ARGUMENT")
        if name in SECRETS:
            fail(f"{name} stands in no command line; use --secret-from-stdin {name}", code="SECRET_ON_COMMAND_LINE")
        given[name] = _text_of(Path(value)) if each in files else value
    if secret_from_stdin:
        given[secret_from_stdin] = sys.stdin.read()
    if not given:
        fail("name at least one setting, such as host=mllp.example.org", code="BAD_ARGUMENT")
    try:
        version = change_endpoint(
            code, {name: read(name, text) for name, text in given.items()}, actor="cli", reason=reason
        )
    except SchoolError as error:
        where = f" ({error.field})" if error.field and error.field not in error.message else ""
        fail(f"{error.message}{where}; nothing was changed", code=error.code)
    click.echo(f"{code}: {', '.join(given)} set, version {version}")


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path} cannot be read ({error})", code="BAD_ARGUMENT")


@hl7_school.command("test")
@click.argument("code")
@click.option("--message", "with_message", is_flag=True, help="Send a test message of an invented student too.")
@on_database
def hl7_school_test(code: str, with_message: bool) -> None:
    """Try a school's endpoint step by step; nothing but a marked test message is sent."""
    from dispatchlog.systems.hl7.endpoint_test import run_test

    trial = run_test(code, actor="cli", with_message=with_message).trial
    marks = {"PASSED": "ok", "WARNING": "warning", "FAILED": "failed"}
    for step in trial.steps:
        mark = marks[step.verdict]
        click.echo(f"{click.style(mark, fg=MARKS[mark])} {step.name}: {step.words}")
    if trial.acknowledgement:
        click.echo(trial.acknowledgement)
    if not trial.works:
        sys.exit(1)
