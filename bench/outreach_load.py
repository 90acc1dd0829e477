"""Asks for messages to patients over the API, as a process of its own. The only line of output is one JSON object.

Owns the requests; connections and clock are those of `courier_load`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.courier_load import options_of, sent


def request(number: int, *, host: str, token: str, patients: Sequence[str], run: str, path: str) -> bytes:
    """One request; the patients take turns. Without a body where `path` is a page to compare with."""
    if path != "/api/v1/comm/schedule":
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
        return head.encode()
    wanted = {
        "patient_id": patients[number % len(patients)],
        "purpose": "lab_ready",
        "preferred_channel": "email",
        "variables": {},
    }
    body = json.dumps(wanted).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {token}\r\nIdempotency-Key: {run}-{number}\r\n\r\n"
    )
    return head.encode() + body


async def run(options: argparse.Namespace) -> dict[str, object]:
    given = json.loads(Path(options.given).read_text())
    messages = [
        request(number, host=options.at, run=options.run, path=options.path, **given) for number in range(options.count)
    ]
    return await sent(messages, options)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.outreach_load", description=__doc__)
    options_of(parser, connections=32)
    parser.add_argument("--given", required=True, help="a file with token and patients, as JSON")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
