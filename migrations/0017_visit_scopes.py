"""Scopes of service tokens for clinics' visits: reporting them, reading what became of them, and retrying messages."""

SCOPES = "orders:write,orders:read,dispatches:read,dispatches:act,dispatches:control"
ADDED = "visits:write,visits:read,hl7:retry"

CHANGE = """
ALTER TABLE service_tokens
    DROP CONSTRAINT service_tokens_scopes_check,
    ADD CONSTRAINT service_tokens_scopes_check CHECK (scopes <@ '{{{scopes}}}' AND scopes <> '{{}}')
"""
# A token must have a scope, so one that had only these is revoked with one that does not matter any more.
FORGET = """
UPDATE service_tokens SET
    scopes = CASE WHEN scopes <@ '{{{added}}}' THEN '{{dispatches:read}}'
        ELSE ARRAY(SELECT scope FROM unnest(scopes) AS scope WHERE scope <> ALL ('{{{added}}}')) END,
    revoked_at = CASE WHEN scopes <@ '{{{added}}}' THEN coalesce(revoked_at, now()) ELSE revoked_at END
WHERE scopes && '{{{added}}}'
"""


def up(migrator, db):
    db.execute_sql(CHANGE.format(scopes=f"{SCOPES},{ADDED}"))


def down(migrator, db):
    db.execute_sql(FORGET.format(added=ADDED))
    db.execute_sql(CHANGE.format(scopes=SCOPES))
