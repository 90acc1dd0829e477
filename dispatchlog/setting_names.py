"""Which environment variables are settings, what they hold and where that comes from. Owns no default, checks no value."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dispatchlog.engine.errors import DispatchlogError

PREFIX = "DISPATCHLOG_"
# What a deployment keeps beside our settings, for its own scripts; nothing of ours reads it.
DEPLOYMENT_PREFIX = "DISPATCHLOG_DEPLOY_"
# No setting: where tests end a process.
_OTHERS = {"DISPATCHLOG_CRASH_AT"}
# Kubernetes tells every container of every service by such names; one called dispatchlog has our prefix.
_OF_A_CLUSTER = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?$")
_LIKE_ENOUGH = 0.75
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@:\s]*):[^/?#\s]*@")
# libpq and others take it behind the question mark too, and whoever calls a webhook proves by such a parameter who it is.
_SECRET_IN_URL = re.compile(r"([?&][^=&#\s]*(?:passw|secret|token|key|sig)[^=&#\s]*=)[^&#\s]+", re.IGNORECASE)
_MASK = "••••"


class UnknownSetting(DispatchlogError):
    """The environment has settings that do not exist; the message says which ones were probably meant."""

    code = "UNKNOWN_SETTING"


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting as it may be shown: no secret, and no password of a URL."""

    name: str
    value: str
    source: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def env_name(field: str, info: FieldInfo) -> str:
    """The environment variable of a field of Settings."""
    return str(info.validation_alias or f"{PREFIX}{field.upper()}")


def refuse_unknown(fields: Mapping[str, FieldInfo], environment: Mapping[str, str] = os.environ) -> None:
    """Nothing, unless a name with our prefix is no setting: a misspelt one would be lost without a word.

    Raises:
        UnknownSetting: it names all of them.
    """
    known = {env_name(field, info) for field, info in fields.items()}
    wrong = sorted(name for name in environment if _is_ours(name.upper()) and name.upper() not in known)
    told = [name for name in wrong if not _is_of_a_cluster(name, environment[name])]
    if told:
        raise UnknownSetting("; ".join(_suggestion(name, known) for name in told))


def shown(
    fields: Mapping[str, FieldInfo],
    values: Mapping[str, object],
    *,
    adopted: Collection[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Shown]:
    """Every setting with its effective value and its source; `adopted` came from a running `dispatchlog up`."""
    given = {name.upper() for name in environment}
    for field, info in fields.items():
        name = env_name(field, info)
        source = "dispatchlog up" if name in adopted else "environment" if name in given else "default"
        yield Shown(name, said(values[field]), source)


def said(value: object) -> str:
    """A value as it may be read by whoever looks over a shoulder; `none` where there is none."""
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else "none"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value is PydanticUndefined or value == "":
        return "none"
    return _SECRET_IN_URL.sub(rf"\1{_MASK}", _PASSWORD_IN_URL.sub(rf"\1:{_MASK}@", str(value)))


def kind_of(info: FieldInfo) -> str:
    """What a setting takes, in a word or by its choices."""
    if choices := [str(choice) or "none" for choice in get_args(info.annotation) if isinstance(choice, str | int)]:
        return ", ".join(choices)
    kinds: dict[object, str] = {
        bool: "true, false",
        int: "whole number",
        float: "number",
        SecretStr: "secret",
        str: "text",
    }
    return kinds.get(info.annotation, "path")


def _is_ours(name: str) -> bool:
    return name.startswith(PREFIX) and not name.startswith(DEPLOYMENT_PREFIX) and name not in _OTHERS


def _is_of_a_cluster(name: str, value: str) -> bool:
    found = _OF_A_CLUSTER.search(name)
    return found is not None and (found[0] != "_PORT" or value.startswith(("tcp://", "udp://")))


def _suggestion(name: str, known: Collection[str]) -> str:
    bare = name.upper().removeprefix(PREFIX)
    if bare in known:
        return f"{name}: did you mean {bare}?"
    close = get_close_matches(name.upper(), known, n=1, cutoff=_LIKE_ENOUGH)
    return (
        f"{name}: did you mean {close[0]}?" if close else f"{name}: there is no such setting; see: dispatchlog settings"
    )
