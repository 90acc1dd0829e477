"""A process that seals names of patients, changes and reads them, until its standard input ends. Says how many it made."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from uuid import UUID, uuid4

from dispatchlog.engine.database import configure, connected, execute, fetch_all, fetch_one
from dispatchlog.systems.outreach import contacts

_CHANGED = 20


def make() -> UUID:
    """A new patient."""
    patient = uuid4()
    name = contacts.seal_text(f"Patient {patient}", patient)
    execute("INSERT INTO patients (id, name_sealed) VALUES (%s, %s)", (patient, name))
    return patient


def change(patient: UUID, names: dict[UUID, str], turn: int) -> None:
    """Another name for a patient that only this process changes; what was stored before has to be what it wrote last."""
    (stored,) = fetch_one("SELECT name_sealed FROM patients WHERE id = %s", (patient,))
    if contacts.open_text(stored, patient) != names[patient]:
        sys.exit(f"a change of patient {patient} was lost")
    names[patient] = f"Patient {patient}" + " " * (turn % 50)
    name = contacts.seal_text(names[patient], patient)
    execute("UPDATE patients SET name_sealed = %s WHERE id = %s", (name, patient))


def read() -> None:
    """Whoever is there, made by whichever process."""
    for found, stored in fetch_all("SELECT id, name_sealed FROM patients ORDER BY random() LIMIT 5"):
        if (contacts.open_text(stored, found) or "").rstrip() != f"Patient {found}":
            sys.exit(f"patient {found} is somebody else")


def main() -> None:
    configure(os.environ["DATABASE_URL"], role="dispatchlog_app", name="sealing process")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    names: dict[UUID, str] = {}
    made = 0
    print("ready", flush=True)
    for turn in itertools.count():
        if ended.is_set():
            break
        with connected():
            if turn < _CHANGED or turn % 10 == 0:
                patient = make()
                made += 1
                if turn < _CHANGED:
                    names[patient] = f"Patient {patient}"
            change([*names][turn % len(names)], names, turn)
            read()
    print(made, flush=True)


main()
