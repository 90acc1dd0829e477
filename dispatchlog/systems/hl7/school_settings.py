"""An endpoint's settings as people write them, in a form or on a command line, and back. Stores nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dispatchlog.systems.hl7.identity import AUTHORITIES, LONGEST_CONTROL_ID, SHORTEST_CONTROL_ID
from dispatchlog.systems.hl7.schools import SchoolError

SWITCHES = ("enabled", "tls", "dedupes", "in_line")
TEXTS: Mapping[str, int] = MappingProxyType(
    {
        "transport": 8,
        "host": 255,
        "url": 2048,
        "server_name": 255,
        "api_key_header": 64,
        "message_type_form": 8,
        "processing_id": 1,
        **dict.fromkeys(AUTHORITIES, 227),
    }
)
CERTIFICATES = ("ca_pem", "client_certificate_pem")
WHOLE: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "port": (1, 65_535),
        "control_id_length": (SHORTEST_CONTROL_ID, LONGEST_CONTROL_ID),
        "batch": (1, 1000),
        "max_retries": (0, 100),
        "max_reply_bytes": (256, 16_777_216),
    }
)
NUMBERS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "rate_per_second": (0.001, 1000),
        "first_retry_seconds": (0.1, 86_400),
        "deadline_seconds": (0.1, 120),
        "connect_seconds": (0.1, 60),
        "idle_seconds": (0, 3600),
    }
)
TABLES = ("acknowledgements", "messages")
# What may be left empty, with what that means.
UNLIMITED = "rate_per_second"
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")
_LONGEST_PEM = 262_144
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def read(name: str, text: str) -> Any:
    """The value of one setting from how it is written.

    Raises:
        SchoolError: UNKNOWN_SETTING or INVALID_SETTING, with the setting as its field.
    """
    for names, reader in _READERS:
        if name in names:
            return reader(name, text)
    raise SchoolError(f"there is no setting {name[:64]!r}", code="UNKNOWN_SETTING", field=name[:64])


def write(name: str, value: Any) -> str:
    """The setting as `read` takes it."""
    if name in TABLES:
        return "\n".join(f"{key} {said}" for key, said in sorted(value.items()))
    if name in SWITCHES:
        return "on" if value else "off"
    if name in NUMBERS:
        return "" if value is None else f"{value:.12g}"
    return str(value)


def _switch(name: str, text: str) -> bool:
    said = text.strip().lower()
    if said not in (*_YES, *_NO):
        raise _invalid(name, f"{name} is on or off")
    return said in _YES


def _text(name: str, text: str) -> str:
    said = text.strip()
    if len(said) > TEXTS[name] or _CONTROLS.search(said):
        raise _invalid(name, f"{name} is at most {TEXTS[name]} characters, in one line")
    return said


def _pem(name: str, text: str) -> str:
    said = text.replace("\r\n", "\n").strip()
    if not said:
        return ""
    if "\x00" in said or len(said) > _LONGEST_PEM or not said.startswith("-----BEGIN "):
        raise _invalid(name, f"{name} is PEM text that begins with -----BEGIN")
    if name != "client_key_pem" and "PRIVATE KEY" in said:
        raise _invalid(name, f"{name} holds a private key, which belongs in the client key only")
    return f"{said}\n"


def _api_key(name: str, text: str) -> str:
    said = text.strip()
    if len(said) > 4096 or not (said.isascii() and said.isprintable()):
        raise _invalid(name, "an API key is one line of at most 4096 printable ASCII characters")
    return said


def _whole(name: str, text: str) -> int:
    least, most = WHOLE[name]
    said = text.strip()
    if not said.isascii() or not said.isdecimal() or len(said) > 9 or not least <= int(said) <= most:
        raise _invalid(name, f"{name} is a whole number from {least} to {most}")
    return int(said)


def _number(name: str, text: str) -> float | None:
    least, most = NUMBERS[name]
    said = text.strip()
    if not said and name == UNLIMITED:
        return None
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise _invalid(name, f"{name} is a number from {least:g} to {most:g}")
    return value


def _table(name: str, text: str) -> dict[str, str]:
    """One entry a line (or divided by commas): what, and what it means, divided by a space or an equals sign."""
    table: dict[str, str] = {}
    for line in filter(None, (each.strip() for each in re.split(r"[\n,;]", text))):
        parts = line.replace("=", " ").split()
        if len(parts) != 2 or _CONTROLS.search(line) or len(line) > 100:
            raise _invalid(name, f"{name}: “{line[:40]}” must be two words, such as {_EXAMPLES[name]}")
        if parts[0] in table:
            raise _invalid(name, f"{name}: {parts[0][:40]} stands there twice")
        table[parts[0]] = parts[1]
    return table


_EXAMPLES = {"acknowledgements": "AE:207 RETRY", "messages": "UPDATE ADT^A04"}
_READERS: tuple[tuple[tuple[str, ...], Callable[[str, str], Any]], ...] = (
    (SWITCHES, _switch),
    (tuple(TEXTS), _text),
    ((*CERTIFICATES, "client_key_pem"), _pem),
    (("api_key",), _api_key),
    (tuple(WHOLE), _whole),
    (tuple(NUMBERS), _number),
    (TABLES, _table),
)


def _invalid(name: str, message: str) -> SchoolError:
    return SchoolError(message, code="INVALID_SETTING", field=name)
