"""The diagram of a dispatch's states, written from the table of moves. Draws nothing itself."""

from __future__ import annotations

from collections.abc import Iterator

from dispatchlog.engine.states import FINAL, MOVES, Status


def state_diagram() -> str:
    """Every legal move as a Mermaid state diagram (mermaid.js.org/syntax/stateDiagram.html)."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {Status.PENDING}: stored, with the order or message that it is for"
    for (source, target), why in MOVES.items():
        yield f"    {source} --> {target}: {why.replace(';', ',')}"
    for status in Status:
        if status in FINAL:
            yield f"    {status} --> [*]"
