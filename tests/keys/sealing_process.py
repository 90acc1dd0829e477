"""A process that seals names of patients and reads them, until its standard input ends. Says how many it sealed."""

from __future__ import annotations

import os
import sys
import threading
from uuid import uuid4

from dispatchlog.engine.database import configure, connected, execute, fetch_all
from dispatchlog.systems.outreach import contacts


def main() -> None:
    configure(os.environ["DATABASE_URL"], role="dispatchlog_app", name="sealing process")
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    sealed = 0
    print("ready", flush=True)
    while not ended.is_set():
        patient = uuid4()
        with connected():
            name = contacts.seal_text(f"Patient {patient}", patient)
            execute("INSERT INTO patients (id, name_sealed) VALUES (%s, %s)", (patient, name))
            for found, stored in fetch_all("SELECT id, name_sealed FROM patients ORDER BY random() LIMIT 5"):
                if contacts.open_text(stored, found) != f"Patient {found}":
                    sys.exit(f"patient {found} is somebody else")
        sealed += 1
    print(sealed, flush=True)


main()
