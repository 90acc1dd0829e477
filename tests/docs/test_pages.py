"""What the documentation says of the product is so: the diagram, its links, its index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatchlog.engine.diagram import state_diagram
from dispatchlog.systems import registry
from tests.docs.reading import PAGES, ROOT

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_the_diagram_of_states_is_the_one_that_the_program_prints() -> None:
    shown = re.search(r"```mermaid\n(.*?)\n```", (ROOT / "docs" / "concepts.md").read_text("utf-8"), re.DOTALL)
    assert shown is not None
    assert shown[1] == state_diagram()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)
    lost = [link for link in _LINK.findall(text) if not _leads(ROOT / page, link)]
    assert lost == []


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {Path(page).name for page in PAGES if page.startswith("docs/")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_a_worker_beside_the_one_for_hl7_is_told_every_other_lane() -> None:
    told = re.search(r"DISPATCHLOG_WORKER_LANES=(\S+)", (ROOT / "deploy" / "README.md").read_text("utf-8"))
    assert told is not None
    assert told[1].split(",") == [lane.name for lane in registry.lanes() if lane.name != "hl7"]


def _leads(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):
        return True  # elsewhere, where tests do not look
    name, _, place = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return False
    return not place or target.suffix != ".md" or place in _places(target)


def _places(page: Path) -> set[str]:
    """Its headings, as they are linked to, and what it names by itself."""
    text = page.read_text("utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = re.findall(r'<a id="([^"]+)">', text)
    return {*named, *(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)}
