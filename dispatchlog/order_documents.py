"""The JSON documents in which upstream services report orders and shipments. Owns their shape and size; never stores.

The API and the import read the same documents, so what one takes the other takes. Rules between values (a kit that
stands twice, an unknown status) belong to `dispatchlog.systems.kit_orders`, which checks them before it writes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from dispatchlog.systems.kit_inputs import KIT_ID, STATUS_RANK
from dispatchlog.systems.kit_orders import KitInput, OrderInput, PractitionerInput, ShipmentInput

MAX_KITS = 500
# RFC 3339 section 5.6. A number in a string would pass for a Unix time, and a bare date for midnight somewhere.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6}\d*)?)?([Zz]|[+-]\d\d:?\d\d)?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_DATE_SENTENCE = "must be a date and time such as 2026-03-01T09:30:00Z"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_ONE_LINE_PATTERN = r"^[^\u0000-\u001f\u007f\u0085\u2028\u2029]*$"

AnyDocument = TypeVar("AnyDocument", bound="Document")


def _refuse_control_characters(value: str | None) -> str | None:
    if value is not None and _CONTROL.search(value):
        raise PydanticCustomError("INVALID_VALUE", "must not hold line breaks or control characters")
    return value


def _parse_uuid(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _UUID.fullmatch(value):
        raise PydanticCustomError("INVALID_UUID", "must be a UUID such as 2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a11")
    return UUID(value)


def parse_instant(value: Any) -> Any:
    """The text as an instant, its offset as it was said; what is no text is left to the type's own check."""
    if not isinstance(value, str):
        return value
    try:
        if _INSTANT.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass  # such as the 30th of February
    raise PydanticCustomError("INVALID_DATE", _DATE_SENTENCE)


def refuse_naive(value: datetime) -> datetime:
    """Without its offset an instant could be any of a whole day's."""
    if value.tzinfo is None:
        raise PydanticCustomError("NAIVE_DATE", "needs a time zone, as in 2026-03-01T09:30:00Z")
    return value


def _refuse_naive_and_absurd(value: datetime) -> datetime:
    refuse_naive(value)
    if not _EARLIEST <= value < _LATEST:
        raise PydanticCustomError("INVALID_DATE", "must lie between the years 2000 and 2100")
    return value


class _OneLine(AfterValidator):
    """The check, and what it says in a schema; where there is no text it has nothing to say."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        for part in schema.get("anyOf", [schema]):
            if part.get("type") == "string":
                part["pattern"] = _ONE_LINE_PATTERN
        return schema


ONE_LINE = _OneLine(_refuse_control_characters)
Id = Annotated[UUID, BeforeValidator(_parse_uuid)]
Instant = Annotated[
    datetime,
    AfterValidator(_refuse_naive_and_absurd),
    BeforeValidator(parse_instant),
    Field(examples=["2026-03-01T09:30:00Z"]),
]
Address = Annotated[str, Field(max_length=320, examples=["someone@example.org"]), ONE_LINE]
TrackingNumber = Annotated[str, Field(max_length=128), ONE_LINE]
TrackingUrl = Annotated[str, Field(max_length=2048, examples=["https://tracking.example.com/1Z999"]), ONE_LINE]
OrderStatus = Annotated[
    str,
    Field(max_length=32, json_schema_extra={"enum": [*STATUS_RANK]}),
    ONE_LINE,
]
ReasonText = Annotated[str, Field(max_length=500), ONE_LINE]


class Document(BaseModel):
    """camelCase JSON; what is not listed is refused, so a misspelt field is never silently lost."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


class KitDocument(Document):
    """One kit. Without a recipient its form goes to the practitioner."""

    kit_id: Annotated[
        str,
        ONE_LINE,
        Field(
            description="1 to 64 letters, digits, dots, underscores or hyphens",
            json_schema_extra={"pattern": rf"^{KIT_ID.pattern}$"},
        ),
    ]
    recipient_email: Address | None = None


class PractitionerDocument(Document):
    """Who ordered."""

    id: Id
    name: Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
    email: Address | None = None


class ShipmentDocument(Document):
    """What is known of a shipment; what is absent or null stays as it was."""

    shipping_date: Instant | None = None
    tracking_number: TrackingNumber | None = None
    tracking_url: TrackingUrl | None = None
    status: OrderStatus | None = None

    def is_empty(self) -> bool:
        return all(value is None for _, value in self)

    def to_input(self) -> ShipmentInput:
        return ShipmentInput(self.shipping_date, self.tracking_number, self.tracking_url, self.status)


class OrderDocument(Document):
    """An order. Reporting it again updates it; kits once reported stay, and the furthest status wins."""

    order_id: Annotated[Id | None, Field(description="over HTTP optional, and then the same as in the URL")] = None
    order_number: Annotated[str, Field(max_length=64, json_schema_extra={"minLength": 1}), ONE_LINE]
    practitioner: PractitionerDocument | None = None
    status: OrderStatus = "created"
    shipping_date: Instant | None = None
    tracking_number: TrackingNumber | None = None
    tracking_url: TrackingUrl | None = None
    kits: Annotated[list[KitDocument], Field(max_length=MAX_KITS)] = []

    def to_input(self, order_id: UUID) -> OrderInput:
        who = self.practitioner
        return OrderInput(
            order_id=order_id,
            order_number=self.order_number,
            practitioner=PractitionerInput(who.id, who.name, who.email) if who else None,
            status=self.status,
            shipping_date=self.shipping_date,
            tracking_number=self.tracking_number,
            tracking_url=self.tracking_url,
            kits=tuple(KitInput(kit.kit_id, kit.recipient_email) for kit in self.kits),
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document: stable code, where (`kits[1].recipientEmail`), and a sentence without the value."""

    code: str
    message: str
    field: str = ""


class DocumentError(ValueError):
    """The text is not such a document; `problems` has at least one entry."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in problems))
        self.problems = tuple(problems)


def read_document(kind: type[AnyDocument], text: str | bytes, *, what: str = "the body") -> AnyDocument:
    """The JSON text as a document; `what` names the whole of it in a message.

    Raises:
        DocumentError: INVALID_JSON, UNKNOWN_FIELD, MISSING_FIELD, INVALID_UUID, INVALID_DATE, NAIVE_DATE, TOO_LONG,
            WRONG_TYPE, INVALID_VALUE or REPEATED_FIELD; values are never repeated, since they may be personal.
    """
    try:
        document = kind.model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise DocumentError([_problem(entry, what) for entry in found]) from None
    _refuse_repeated_fields(text)
    return document


class _Object(dict[str, Any]):
    """A JSON object that remembers which names stand in it more than once, as a plain dict does not."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]


def _refuse_repeated_fields(text: str | bytes) -> None:
    """RFC 8259 section 4 leaves open which of two values counts, so two readers of one report could differ."""
    places = list(_repeated_fields(json.loads(text, object_pairs_hook=_Object), ()))
    if places:
        raise DocumentError([Problem("REPEATED_FIELD", "stands twice in one object", place) for place in places])


def _repeated_fields(value: Any, path: tuple[str | int, ...]) -> Iterator[str]:
    if isinstance(value, _Object):
        for name in value.repeated:
            yield _place((*path, name))
        for name, inner in value.items():
            yield from _repeated_fields(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _repeated_fields(inner, (*path, position))


_PLAIN = {
    "json_invalid": ("INVALID_JSON", "this is not JSON"),
    "extra_forbidden": ("UNKNOWN_FIELD", "there is no such field"),
    "missing": ("MISSING_FIELD", "is required"),
    "string_too_long": ("TOO_LONG", "is too long"),
    "too_long": ("TOO_LONG", f"has more than {MAX_KITS} entries"),
    "string_too_short": ("INVALID_VALUE", "must not be empty"),
    "string_type": ("WRONG_TYPE", "must be a string"),
    "string_unicode": ("INVALID_VALUE", "must be Unicode text"),
    "list_type": ("WRONG_TYPE", "must be a list"),
    "int_type": ("WRONG_TYPE", "must be a whole number"),
    "int_from_float": ("WRONG_TYPE", "must be a whole number"),
    "float_type": ("WRONG_TYPE", "must be a number"),
    "finite_number": ("INVALID_VALUE", "must be a finite number"),
    "greater_than_equal": ("INVALID_VALUE", "is too small"),
    "less_than_equal": ("INVALID_VALUE", "is too large"),
    "model_type": ("WRONG_TYPE", "must be an object"),
    "dict_type": ("WRONG_TYPE", "must be an object"),
    "is_instance_of": ("INVALID_UUID", "must be a UUID in a string"),
    "uuid_type": ("INVALID_UUID", "must be a UUID in a string"),
}


def _problem(error: Any, what: str) -> Problem:
    kind_of_error = str(error["type"])
    place = _place(error["loc"])
    if kind_of_error.isupper():  # raised above, with its own sentence
        return Problem(kind_of_error, str(error["msg"]), place)
    if kind_of_error.startswith("datetime"):
        return Problem("INVALID_DATE", _DATE_SENTENCE, place)
    if kind_of_error.startswith("date"):
        return Problem("INVALID_DATE", "must be a day such as 1961-03-31", place)
    if kind_of_error == "model_type" and not place:
        return Problem("WRONG_TYPE", f"{what} must be a JSON object: {{ ... }}", "")
    code, message = _PLAIN.get(kind_of_error, ("INVALID_VALUE", "is not valid"))
    return Problem(code, message, place)


def _place(path: Sequence[str | int]) -> str:
    """`kits[1].recipientEmail`. A field's name may come from the sender, so it is cut and made printable."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = "".join(c if c.isprintable() else "?" for c in step[:64])
            text += f".{name}" if text else name
    return text[:200]
