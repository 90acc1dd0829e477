"""Which kinds of decision the optimiser may take part in, remembered for some seconds in this process. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.systems.outreach.kept import Kept

_kept: Kept[Mapping[str, str]] = Kept()


def modes() -> Mapping[str, str]:
    """The mode of each kind: off, learning or on."""
    return _kept.get(_read)


def empty() -> None:
    """Forget them; after a change."""
    _kept.empty()


def _read() -> Mapping[str, str]:
    with connected():
        return dict(fetch_all("SELECT kind, mode FROM comm_optimiser"))
