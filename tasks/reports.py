"""Reports that upstream services put into the broker whole: sealed, opened, and put back for later until they are stored.

A broker keeps what it is given, so what names a person goes there sealed. A message that comes too early or while the
database is away is put back for later; what cannot be stored as it is, is dropped with a line of the log that names no
person. Who must know what became of a report uses the API, which answers. Declares no actor.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import dramatiq
import structlog

from dispatchlog.engine.database import DATABASE_AWAY
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.order_documents import Document, DocumentError, Problem, read_document
from dispatchlog.sealing import CannotUnsealError, open_passed, seal_to_pass

log = structlog.get_logger(__name__)

# 5, 10, 20 ... seconds, then every 10 minutes: about two hours in all.
MOST_TRIES = 18
_LONGEST_DELAY_SECONDS = 600
AnyDocument = TypeVar("AnyDocument", bound=Document)


class NotSealedError(DispatchlogError):
    """A report that is not sealed, or not by us, for this owner and purpose."""

    code = "REPORT_NOT_SEALED"
    field = "sealed"


def sealed(report: Mapping[str, Any], *, owner: str, purpose: str) -> str:
    """The report as only who has our secret key reads it; it opens for this owner and purpose only."""
    text = json.dumps(dict(report), default=str)
    return base64.b64encode(seal_to_pass(text, purpose=purpose, owner=owner)).decode()


def sealed_part(said: object) -> tuple[Mapping[str, Any], str]:
    """A message with a sealed report in it, and that report.

    Raises:
        NotSealedError: there is none in it.
    """
    if not isinstance(said, Mapping) or not isinstance(said.get("sealed"), str):
        raise NotSealedError("a report goes over the broker sealed")
    return said, said["sealed"]


def opened(said: str, *, owner: str, purpose: str) -> Any:
    """What `sealed` sealed. Whoever has only the broker can neither read a report nor make one.

    Raises:
        NotSealedError: it was not.
    """
    try:
        return json.loads(open_passed(base64.b64decode(said, validate=True), purpose=purpose, owner=owner))
    except (CannotUnsealError, ValueError) as error:
        raise NotSealedError("it was not sealed with our key") from error


def read(kind: type[AnyDocument], said: object) -> AnyDocument:
    """A message's content as a document.

    Raises:
        DocumentError: it is none.
    """
    try:
        return read_document(kind, json.dumps(said), what="the message")
    except TypeError:
        raise DocumentError([Problem("INVALID_JSON", "this is not JSON")]) from None


def source_of(source: object) -> str:
    """The reporting service's name as it is kept."""
    return str(source)[:64]


@dataclass(frozen=True, slots=True)
class Reception:
    """How one system's reports are taken: `refusals` are its own errors, `too_early` the codes of those that pass by
    themselves, `name` begins the names of its lines in the log.
    """

    name: str
    refusals: type[DispatchlogError]
    too_early: Collection[str]

    def take(
        self, actor: dramatiq.Actor[Any, Any], store: Callable[[], object], said: object, tries: object, **kept: object
    ) -> None:
        """Store it, put it back for later with what else it came with (`kept`), or drop it."""
        number = tries if isinstance(tries, int) else 0
        try:
            store()
        except DATABASE_AWAY:
            self._again(actor, said, number, kept, code="DATABASE_UNAVAILABLE")
        except (NotSealedError, self.refusals) as error:
            if error.code in self.too_early:
                self._again(actor, said, number, kept, code=error.code)
            else:
                self._refuse(actor, error.code, getattr(error, "field", ""))
        except DocumentError as error:
            self._refuse(actor, error.problems[0].code, error.problems[0].field)
        except Exception as error:  # noqa: BLE001  (its traceback could quote what the message says of a patient)
            self._again(actor, said, number, kept, code=type(error).__name__)

    def _refuse(self, actor: dramatiq.Actor[Any, Any], code: str, field: str) -> None:
        log.warning(f"{self.name}_REFUSED", actor=actor.actor_name, code=code, field=field)

    def _again(
        self, actor: dramatiq.Actor[Any, Any], said: object, tries: int, kept: Mapping[str, object], *, code: str
    ) -> None:
        if tries >= MOST_TRIES:
            log.error(f"{self.name}_DROPPED", actor=actor.actor_name, code=code, tries=tries)
            return
        delay = min(5 * 2**tries, _LONGEST_DELAY_SECONDS) * 1000
        actor.send_with_options(args=(said,), kwargs={**kept, "tries": tries + 1}, delay=delay)
        log.info(f"{self.name}_WAITS", actor=actor.actor_name, code=code, tries=tries + 1)
