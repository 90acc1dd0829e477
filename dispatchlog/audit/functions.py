"""Whether the database reckons digests as migration 0029 has it. Reads the catalogue; changes nothing.

The rows are hashed where they are, by functions that the tables' owner can replace: one that says what a seal says would
make every chain hold.
"""

from __future__ import annotations

import hashlib
from typing import Final

from dispatchlog.engine.database import connected, fetch_all

# Name -> SHA-256 of its language, its body and what it sets, with `{schema}` for the tables' schema.
EXPECTED: Final = {
    "dispatchlog_audit_digest": "08f3cabf53a43ab2aed830610b3b84c8a78e7cc8cbef229b96194b8285c0dbb3",
    "dispatchlog_audit_lines": "bae62b9ae268c113f1d5d8c2575717e37d7b0b720fb7afbce258daf66e32a548",
}
# As a call finds them: what hides ours, and what stands beside it for arguments of other types, is seen too.
_FOUND = """
SELECT p.proname, l.lanname, p.prosrc,
    replace(array_to_string(p.proconfig, ';'), ' ' || t.relnamespace::regnamespace::text || ',', ' {schema},')
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_class t ON t.oid = 'audit_seals'::regclass
WHERE p.proname = ANY (%s) AND pg_function_is_visible(p.oid) ORDER BY p.proname
"""


def changed_functions() -> list[str]:
    """The names of those that are not what the migration made, that are there twice, or not at all."""
    found: dict[str, list[str]] = {name: [] for name in EXPECTED}
    with connected():
        for name, *parts in fetch_all(_FOUND, (list(EXPECTED),)):
            found[name].append(hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest())
    return [name for name, digests in found.items() if digests != [EXPECTED[name]]]
