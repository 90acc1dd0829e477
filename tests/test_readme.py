"""The README's table of settings: each is one, with its true default; all of them stand in docs/settings.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatchlog.settings import Settings

PREFIX = "DISPATCHLOG_"
NUMBERS = {
    name: field.default
    for name, field in Settings.model_fields.items()
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
}


def _variable(name: str) -> str:
    return str(Settings.model_fields[name].validation_alias or PREFIX + name.upper())


def _told() -> dict[str, str]:
    """Each variable of the tables with its default; `_NAME` stands for one that begins as the others do."""
    told: dict[str, str] = {}
    for line in Path("README.md").read_text().splitlines():
        if not line.startswith(("| `", "| **`")):
            continue
        _, names, defaults, *_ = line.split("|")
        variables = [PREFIX + name[1:] if name.startswith("_") else name for name in re.findall(r"`(\w+)`", names)]
        if not all(variable.isupper() for variable in variables):
            continue
        values = [value.strip(" `") for value in defaults.split(",")]
        told |= dict(zip(variables, values if len(values) == len(variables) else values * len(variables), strict=True))
    return told


def test_every_setting_told_is_one() -> None:
    assert _told()
    assert set(_told()) - {_variable(name) for name in Settings.model_fields} == set()


@pytest.mark.parametrize("name", sorted(name for name in NUMBERS if _variable(name) in _told()))
def test_every_number_told_is_the_default(name: str) -> None:
    assert float(_told()[_variable(name)]) == NUMBERS[name]
