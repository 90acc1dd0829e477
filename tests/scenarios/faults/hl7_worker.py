"""A worker process with the lane of HL7 messages alone: `python -m tests.scenarios.faults.hl7_worker`."""

from __future__ import annotations

from chaos.worker import work
from dispatchlog.systems.hl7.lane import hl7_lane

BREAKER_PAUSE_SECONDS = 0.5


def main() -> None:
    """Run until SIGTERM."""
    work({"hl7": hl7_lane()}, threads=2, breaker_pause_seconds=BREAKER_PAUSE_SECONDS)


if __name__ == "__main__":
    main()
