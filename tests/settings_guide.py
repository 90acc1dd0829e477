"""Writes docs/settings.md anew: `python -m tests.settings_guide`. Kind and default are the product's; a meaning stays as
the guide has it, and that of a new setting is the README's.
"""

from __future__ import annotations

import re
from pathlib import Path

from dispatchlog.setting_names import env_name, kind_of, said
from dispatchlog.settings import Settings

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "settings.md"


def whole_guide() -> str:
    """The guide as it ought to be.

    Raises:
        LookupError: neither the guide nor the README says what a setting means.
    """
    lines = GUIDE.read_text().splitlines()
    head = [line for line in lines if not line.startswith("| `")]
    return "\n".join([*head, *_rows({**_readme(), **_meanings(lines)})]) + "\n"


def _rows(meanings: dict[str, str]) -> list[str]:
    rows = []
    for field, info in Settings.model_fields.items():
        name, default = env_name(field, info), said(info.get_default())
        if name not in meanings:
            raise LookupError(f"{name} has no meaning in the README's tables")
        shown = default if default == "none" else f"`{default}`"
        rows.append(f"| `{name}` | {kind_of(info)} | {shown} | {meanings[name]} |")
    return rows


def _meanings(lines: list[str]) -> dict[str, str]:
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line.startswith("| `")]
    return {name.strip("`"): meaning for name, _, _, meaning in cells}


def _readme() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (ROOT / "README.md").read_text().splitlines():
        if line.startswith(("| `", "| **`")):
            names, *_, meaning = line.removeprefix("| ").removesuffix(" |").split(" | ")
            for name in re.findall(r"`([A-Z0-9_]+)`", names):
                found[f"DISPATCHLOG{name}" if name.startswith("_") else name] = meaning.replace("](docs/", "](")
    return found


if __name__ == "__main__":
    GUIDE.write_text(whole_guide())
