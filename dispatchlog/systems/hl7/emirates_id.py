"""The Emirates ID, 784-YYYY-NNNNNNN-C: written one way, and doubts about it. Never refuses one."""

from __future__ import annotations

import re
from datetime import date

FORM = re.compile(r"(784)-?([0-9]{4})-?([0-9]{7})-?([0-9])")


def written(value: str) -> str:
    """With its hyphens if it has the form, else as it was reported."""
    found = FORM.fullmatch(value)
    return "-".join(found.groups()) if found else value


def doubts(value: str, birth_date: date) -> tuple[str, ...]:
    """What looks wrong: the form, the check digit (Luhn), or a year that is not that of birth."""
    found = FORM.fullmatch(value)
    if found is None:
        return ("the Emirates ID is not of the form 784-YYYY-NNNNNNN-C; it is sent as it is",)
    found_doubts = []
    if not _luhn("".join(found.groups())):
        found_doubts.append("the check digit of the Emirates ID is wrong; it is sent as it is")
    if int(found[2]) != birth_date.year:
        found_doubts.append("the year in the Emirates ID is not the year of birth; it is sent as it is")
    return tuple(found_doubts)


def _luhn(digits: str) -> bool:
    doubled = (2 * int(digit) for digit in digits[-2::-2])
    total = sum(map(int, digits[-1::-2])) + sum(value - 9 if value > 9 else value for value in doubled)
    return total % 10 == 0
