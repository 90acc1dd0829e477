"""What a prescription may hold, by the type of its ticket. Reads no table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from dispatchlog.systems.tickets.inputs import MOST_ITEMS, ItemInput, PrescriptionInput, TicketError
from dispatchlog.systems.tickets.states import TicketType
from dispatchlog.systems.tickets.texts import lines, one_line

MOST_NOTES = 8_000
MOST_INSTRUCTIONS = 2_000
MOST_REFILLS = 99
_INVALID = "ITEM_INVALID"


def checked(given: PrescriptionInput, ticket_type: TicketType) -> PrescriptionInput:
    """The prescription as it is stored: without blanks around its texts.

    Raises:
        TicketError: PRESCRIPTION_EMPTY, ITEM_INVALID (`field` says which), INVALID_TEXT (notes).
    """
    if not given.items:
        raise TicketError("there is nothing in it yet; add an item", code="PRESCRIPTION_EMPTY", field="items")
    if len(given.items) > MOST_ITEMS:
        raise TicketError(f"there are more than {MOST_ITEMS} items", code=_INVALID, field="items")
    items = [_item(item, f"items[{index}]", ticket_type) for index, item in enumerate(given.items)]
    return PrescriptionInput(items=items, notes=lines(given.notes, "notes", most=MOST_NOTES))


def contents(items: Sequence[ItemInput]) -> list[tuple[object, ...]]:
    """The items' values, by which two prescriptions are compared, in the order of ItemInput's fields."""
    return [astuple(item) for item in items]


def _item(given: ItemInput, place: str, ticket_type: TicketType) -> ItemInput:
    def text(name: str, most: int, *, needed: bool = False) -> str:
        return one_line(getattr(given, name), f"{place}.{name}", most=most, code=_INVALID, needed=needed)

    item = ItemInput(
        name=text("name", 255, needed=True),
        strength=text("strength", 64),
        form=text("form", 64),
        dosage=text("dosage", 255),
        frequency=text("frequency", 255),
        duration=text("duration", 255),
        quantity=text("quantity", 64),
        refills=_refills(given.refills, f"{place}.refills"),
        instructions=lines(given.instructions, f"{place}.instructions", most=MOST_INSTRUCTIONS, code=_INVALID),
    )
    if ticket_type is TicketType.PRESCRIPTION and not item.dosage and not item.quantity:
        raise TicketError("a medicine needs a dosage or a quantity", code=_INVALID, field=f"{place}.dosage")
    return item


def _refills(given: int, field: str) -> int:
    if type(given) is not int or not 0 <= given <= MOST_REFILLS:
        raise TicketError(f"a whole number from 0 to {MOST_REFILLS}", code=_INVALID, field=field)
    return given
