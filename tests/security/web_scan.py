"""The running dashboard as a web scanner meets it, signed in as staff: `make scan`. The report is build/scan.json.

Modules that need the network, a list of known products or minutes of waiting are left out. Nothing but this machine is
asked. The one for LDAP is left out too: nothing here speaks it, and it takes every list that two unknown values filter
differently for a finding. Exit code 1 where something of level 2 or more (of 0 to 4) is found.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from dispatchlog.engine.database import configure, connected, database
from dispatchlog.people import create_user
from tests.dashboard.api_support import order
from tests.security.fuzzing import Target, fuzzed_server
from tests.servers import fresh_database, started_servers

ROOT = Path(__file__).parent.parent.parent
WAPITI = ROOT / ".webscanner" / "bin" / "wapiti"
MODULES = (
    "backup,cookieflags,crlf,csp,csrf,exec,file,htaccess,http_headers,methods,permanentxss,redirect,shellshock,sql"
    ",timesql,upload,xss,xxe"
)
PASSWORD = "a long sentence of a scanned server"
PERSON = "desk@example.org"
ALARMING = 2


def scan(target: Target, cookie: str, *, seconds: int, report: Path) -> dict[str, list[dict[str, object]]]:
    """Wapiti's findings by kind."""
    command = [str(WAPITI), "--url", f"{target.address}/", "--module", MODULES, "--scope", "folder"]
    limits = ["--depth", "4", "--max-links-per-page", "60", "--max-files-per-dir", "25", "--max-attack-time", "60"]
    with TemporaryDirectory() as directory:
        subprocess.run(
            [
                *command,
                *limits,
                *("--max-scan-time", str(seconds), "--header", f"Cookie: {cookie}"),
                *(
                    "--exclude",
                    f"{target.address}/sign-out",
                    "--exclude",
                    f"{target.address}/account/sign-out-everywhere",
                ),
                *("--store-session", directory, "--store-config", directory, "--no-bugreport", "--flush-session"),
                *("--format", "json", "--output", str(report), "--verbose", "0"),
            ],
            check=True,
        )
    found = json.loads(report.read_text())
    return {**found["vulnerabilities"], **found["anomalies"], "crawled": found["infos"].get("crawled_pages_nbr", 0)}


def signed_in(target: Target) -> str:
    """The cookies of somebody who is signed in to a dashboard with orders in it."""
    with httpx.Client(base_url=target.address, timeout=60) as client:
        for number in range(3):
            path = f"/api/v1/kit-orders/00000000-0000-4000-8000-00000000000{number}"
            document = order(orderNumber=f"VT-{number}", kits=[{"kitId": f"KIT-{number}"}])
            client.put(path, json=document, headers={"Authorization": f"Bearer {target.token}"}).raise_for_status()
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/sign-in").text)
        assert token is not None
        form = {"csrf_token": token[1], "email": PERSON, "password": PASSWORD}
        assert client.post("/sign-in", data=form).status_code == 302
        assert client.get("/").status_code == 200
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=int, default=1200)
    options.add_argument("--role", default="support")
    given = options.parse_args()
    report = ROOT / "build" / "scan.json"
    report.parent.mkdir(exist_ok=True)
    with started_servers() as servers, fresh_database(servers, "scanned", migrated=True) as url:
        configure(url, role="dispatchlog_app", name="scan")
        with connected():
            create_user(PERSON, roles=[given.role], password=PASSWORD)
        database.close_all()
        with fuzzed_server(url, servers.redis_url(1)) as target:
            found = scan(target, signed_in(target), seconds=given.seconds, report=report)
    print(f"{found.pop('crawled')} pages were crawled")
    worst = 0
    for kind, each in found.items():
        for finding in each:
            worst = max(worst, int(str(finding["level"])))
            print(f"{finding['level']} {kind}: {finding['method']} {finding['path']}: {finding['info']}")
    return 1 if worst >= ALARMING else 0


if __name__ == "__main__":
    sys.exit(main())
