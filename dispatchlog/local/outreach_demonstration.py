"""The patients that `dispatchlog up` brings along, and what the core platform tells of them.

Talks to the product as a core platform does; writes no table itself. Begun anew it repeats nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dispatchlog.engine.database import connected
from dispatchlog.local import growth_demonstration
from dispatchlog.local.loading import load_sample
from dispatchlog.local.outreach_sample import CLINIC, PATIENTS, PROVIDER, event_of, patient_report
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import core_events
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from dispatchlog.tracing import new_trace_id

SOURCE = "sample-core"
ASKER = Asker(f"service:{SOURCE}")
SECONDS_BETWEEN = 3.0


def main() -> int:
    """Report what is missing; the exit code comes back."""
    return load_sample(_load, what="the patients")


def _load(_: Settings) -> None:
    ensure_standard_templates()
    now = datetime.now(UTC)
    _tell("organization.updated", str(CLINIC["id"]), CLINIC)
    _tell("provider.updated", str(PROVIDER["id"]), PROVIDER)
    print(f"{len(PATIENTS)} sample patients are written to in the next minute; some answer", flush=True)
    for patient in PATIENTS:
        _tell("patient.updated", patient.key, patient_report(patient, now))
        kind, said = event_of(patient, now)
        if _tell(kind, patient.key, said):
            time.sleep(SECONDS_BETWEEN)
    with connected():
        growth_demonstration.load(_tell, asker=ASKER, now=now)
    print("the sample patients are complete", flush=True)


def _tell(kind: str, key: str, said: Mapping[str, Any]) -> bool:
    """Whether it was news."""
    event = {"event_id": f"{kind}:{key}", "kind": kind, "occurred_at": datetime.now(UTC).isoformat(), "data": said}
    try:
        return bool(core_events.take(event, source=SOURCE, asker=ASKER, trace_id=new_trace_id())["taken"])
    except OutreachError as error:
        if error.code != "EVENT_REUSED":
            raise
        return False


if __name__ == "__main__":
    sys.exit(main())
