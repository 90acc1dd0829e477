"""Reads the commands out of the documentation. Runs none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").glob("**/*.md"))
)

# What a command begins with; whatever else stands in a block of the shell is one too.
_PROGRAM = (
    r"(?:[A-Z_]+=\S+ )*(?:[\w./]*bin/)?(?:dispatchlog|pytest|python3?|ruff|mypy|lint-imports|make|curl|psql|createdb"
    r"|pg_dump|pg_dumpall|pg_restore|pg_basebackup)(?![\w-])"
)
_BEGINS = re.compile(_PROGRAM)
_INLINE = re.compile(rf"`({_PROGRAM}(?: [^`\n]+)?)`")
_FENCE = re.compile(r" *```(\w*)")


@dataclass(frozen=True, slots=True)
class Command:
    """`inline`: it stands in a sentence or a table, where a command's bare name may be meant."""

    text: str
    inline: bool


def commands(page: str) -> list[Command]:
    """Every command of a page in its order; one that stands there again comes again."""
    return list(_read((ROOT / page).read_text("utf-8").splitlines()))


def _read(lines: list[str]) -> Iterator[Command]:
    block: list[str] = []
    language: str | None = None  # None: prose
    for line in lines:
        fence = _FENCE.match(line)
        if fence and language is None:
            language = fence[1]
        elif fence:
            yield from (Command(text, inline=False) for text in _of_block(block, language or ""))
            block, language = [], None
        elif language is not None:
            block.append(line)
        elif re.match(r" {4}(?: {3})?\S", line) and _BEGINS.match(line.strip()):
            yield Command(_plain(line), inline=False)
        else:
            yield from (Command(found, inline=True) for found in _INLINE.findall(line))


def _of_block(block: list[str], language: str) -> Iterator[str]:
    """The commands of a block: one goes on after a backslash, and while a quotation is open."""
    if language not in ("", "sh"):
        return
    kept = ""
    for line in block:
        kept = f"{kept}\n{line}" if kept else line.strip()
        if not kept.endswith("\\") and kept.count("'") % 2 == 0:
            command = _plain(kept)
            if command and (language or _BEGINS.match(command)):
                yield command
            kept = ""


def _plain(command: str) -> str:
    """Without the remark behind it."""
    return re.sub(r"(?:^|\s+)# .*$", "", command).strip()
