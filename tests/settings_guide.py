"""Writes docs/settings.md anew: `python -m tests.settings_guide`. Kind and default are the product's; a meaning stays as
the guide has it. A new setting first gets a row by hand: its name, two dashes and its meaning.
"""

from __future__ import annotations

from pathlib import Path

from dispatchlog.setting_names import env_name, kind_of, said
from dispatchlog.settings import Settings

ROOT = Path(__file__).parent.parent
GUIDE = ROOT / "docs" / "settings.md"


def whole_guide() -> str:
    """The guide as it ought to be.

    Raises:
        LookupError: the guide does not say what a setting means.
    """
    lines = GUIDE.read_text().splitlines()
    head = [line for line in lines if not line.startswith("| `")]
    return "\n".join([*head, *_rows(_meanings(lines))]) + "\n"


def _rows(meanings: dict[str, str]) -> list[str]:
    rows = []
    for field, info in Settings.model_fields.items():
        name, default = env_name(field, info), said(info.get_default())
        if name not in meanings:
            raise LookupError(f"{name} has no meaning in {GUIDE}")
        shown = default if default == "none" else f"`{default}`"
        rows.append(f"| `{name}` | {kind_of(info)} | {shown} | {meanings[name]} |")
    return rows


def _meanings(lines: list[str]) -> dict[str, str]:
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line.startswith("| `")]
    return {name.strip("`"): meaning for name, _, _, meaning in cells}


if __name__ == "__main__":
    GUIDE.write_text(whole_guide())
