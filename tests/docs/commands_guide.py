"""Writes docs/commands.md anew: `python -m tests.docs.commands_guide`. Everything in its table is the program's own."""

from __future__ import annotations

from collections.abc import Iterator

import click

from dispatchlog.cli import main
from tests.docs.reading import ROOT

REFERENCE = "docs/commands.md"


def rows() -> list[str]:
    """A line for each command: how it is called, and what it does."""
    return list(_of(main, "dispatchlog"))


def whole_guide() -> str:
    """The guide as it ought to be."""
    head = [line for line in (ROOT / REFERENCE).read_text("utf-8").splitlines() if not line.startswith("| `")]
    return "\n".join([*head, *rows()]) + "\n"


def _of(group: click.Group, before: str) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _of(command, f"{before} {name}")
        else:
            usage = " ".join(command.collect_usage_pieces(click.Context(command)))
            options = " ".join(f"{each.opts[0]}" for each in command.params if isinstance(each, click.Option))
            called = " ".join(part for part in (before, name, options, usage.replace("[OPTIONS]", "").strip()) if part)
            shown = called.replace("|", r"\|")  # or the table would end a cell there
            yield f"| `{shown}` | {(command.help or '').splitlines()[0]} |"


if __name__ == "__main__":
    (ROOT / REFERENCE).write_text(whole_guide(), "utf-8")
