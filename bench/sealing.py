"""What sealing costs: `python -m bench.sealing [--values N]`.

Names of patients sealed and opened one by one through the product's own doors, addresses hashed, and then everything sealed
anew under another data key by one process. Prints a table and, as its last line, one JSON object, per second.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from uuid import UUID, uuid4

from bench.processes import worker_environment
from bench.servers import started_servers
from dispatchlog.engine.database import configure, connected, database, insert_many
from dispatchlog.keys.rotation import rotate_data, rotate_secret
from dispatchlog.settings import get_settings
from dispatchlog.systems.outreach.contacts import address_hash, open_text, seal_text
from dispatchlog.systems.outreach.states import Channel

NAME = "Patient Number One"


def _per_second(number: int, work: Callable[[], object]) -> int:
    begun = time.perf_counter()
    work()
    return round(number / (time.perf_counter() - begun))


def measured(values: int) -> dict[str, float]:
    """Seals, opens, hashes and rotated values per second, and the seconds that another secret key takes."""
    patients = [uuid4() for _ in range(values)]
    seal_text(NAME, patients[0])
    sealed: list[tuple[UUID, bytes]] = []
    found = {
        "seals_per_s": _per_second(values, lambda: sealed.extend((each, seal_text(NAME, each)) for each in patients)),
        "opens_per_s": _per_second(values, lambda: [open_text(name, each) for each, name in sealed]),
        "hashes_per_s": _per_second(values, lambda: [address_hash(Channel.SMS, str(each)) for each in patients]),
    }
    with connected():
        insert_many("INSERT INTO patients (id, name_sealed) VALUES %s", sealed)
    found["rotated_per_s"] = _per_second(values, lambda: rotate_data(actor="bench", noticed_seconds=0))
    os.environ["DISPATCHLOG_OLD_SECRET_KEYS"] = os.environ["DISPATCHLOG_SECRET_KEY"]
    os.environ["DISPATCHLOG_SECRET_KEY"] = "another one, for the benchmark only"  # noqa: S105
    get_settings.cache_clear()
    begun = time.perf_counter()
    rotate_secret(actor="bench")
    return {**found, "rotate_secret_s": round(time.perf_counter() - begun, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=100_000)
    values = parser.parse_args().values
    with started_servers() as servers, servers.filled_database() as url:
        os.environ |= {**worker_environment(servers, url), "DISPATCHLOG_SECRET_KEY": "a secret for the benchmark only"}
        get_settings.cache_clear()
        configure(url, role="")  # rotating takes the tables' owner
        try:
            found = measured(values)
        finally:
            database.close_all()
    for name, figure in found.items():
        print(f"{name:18}{figure:>12,}")
    print(json.dumps({"values": values, **found}))


if __name__ == "__main__":
    main()
