"""A scope of service tokens for pausing and resuming: who may act on one dispatch may not thereby stop a whole lane."""

SCOPES = "orders:write,orders:read,dispatches:read,dispatches:act"

CHANGE = """
ALTER TABLE service_tokens
    DROP CONSTRAINT service_tokens_scopes_check,
    ADD CONSTRAINT service_tokens_scopes_check CHECK (scopes <@ '{{{scopes}}}' AND scopes <> '{{}}')
"""
# A token must have a scope, so one that had only this is revoked with one that does not matter any more.
FORGET = """
UPDATE service_tokens SET
    scopes = CASE WHEN scopes <@ '{dispatches:control}' THEN '{dispatches:read}'
        ELSE array_remove(scopes, 'dispatches:control') END,
    revoked_at = CASE WHEN scopes <@ '{dispatches:control}' THEN coalesce(revoked_at, now()) ELSE revoked_at END
WHERE 'dispatches:control' = ANY (scopes)
"""


def up(migrator, db):
    db.execute_sql(CHANGE.format(scopes=f"{SCOPES},dispatches:control"))


def down(migrator, db):
    db.execute_sql(FORGET)
    db.execute_sql(CHANGE.format(scopes=SCOPES))
