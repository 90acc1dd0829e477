"""How long a new user waits: from the clone of the repository to the first form in the mailbox, by `make run` alone.

    python -m bench.first_form

Clones the committed state into a folder of its own, so that everything is installed, started and loaded as it would be for
them. Packages come from wherever pip is set up to take them; what it has kept from before is used.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from dispatchlog.local.mailbox import list_messages

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 900


def main() -> None:
    """Print the seconds that each step took."""
    folder = Path(tempfile.mkdtemp(prefix="first-form-"))
    try:
        began = time.monotonic()
        clone = ["git", "clone", "--quiet", str(ROOT), str(folder / "clone")]
        subprocess.run(clone, check=True)  # noqa: S603  our own repository
        print(f"cloned after {time.monotonic() - began:.1f} s", flush=True)
        _run(folder / "clone", began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(clone: Path, began: float) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("DISPATCHLOG_", "PYTHON"))}
    with (clone / "output").open("wb") as output:
        process = subprocess.Popen(
            ["make", "run", "PORT=8099"],  # noqa: S607  the one that the user's PATH has
            cwd=clone,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            for what, there in (
                ("installed", clone / ".venv" / ".installed-local"),
                ("database made", clone / "var" / "postgres"),
                ("first form", clone / "var" / "mail"),
            ):
                _wait(process, there, clone / "output")
                print(f"{what} after {time.monotonic() - began:.1f} s", flush=True)
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=120)


def _wait(process: subprocess.Popen[bytes], there: Path, output: Path) -> None:
    ends = time.monotonic() + PATIENCE_SECONDS
    while not (_has_form(there) if there.name == "mail" else there.exists()):
        if process.poll() is not None or time.monotonic() > ends:
            raise SystemExit(f"make run ended or took too long:\n{output.read_text()}")
        time.sleep(0.1)


def _has_form(mails: Path) -> bool:
    return any("health information form" in mail.subject.lower() for mail in list_messages(mails, limit=500))


if __name__ == "__main__":
    main()
