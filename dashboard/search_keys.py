"""Finding dispatches by their business keys: by their beginning, and addresses only as a whole. Owns the condition."""

from __future__ import annotations

from typing import Any

from dispatchlog.row_content import as_stored


def having_key(text: str, column: str = "key") -> tuple[str, Any]:
    """SQL with one parameter, and that: the rows of `dispatch_search` that this text means; addresses are hashed."""
    if "@" in text:
        return f"{column} = ANY (%s)", as_stored(text.lower())
    return f"{column} LIKE %s", f"{literal(text.lower())}%"


def literal(text: str) -> str:
    """LIKE takes these characters to mean any."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
