"""Payloads that still hold something, by age: what retention looks for. Made beside those who write."""

atomic = False
# One that broke off is left invalid, and would be in the way.
DROP = "DROP INDEX CONCURRENTLY IF EXISTS dispatch_payloads_full"
CREATE = """
CREATE INDEX CONCURRENTLY dispatch_payloads_full ON dispatch_payloads (created_at)
    WHERE body IS NOT NULL OR sealed IS NOT NULL
"""


def up(migrator, db):
    _without_haste(db, DROP, CREATE)


def down(migrator, db):
    _without_haste(db, DROP)


def _without_haste(db, *statements):
    """They wait for those who write, and nobody waits for them: to give way would only begin a long work anew."""
    before = db.execute_sql("SELECT current_setting('lock_timeout')").fetchone()[0]
    db.execute_sql("SET lock_timeout = 0")
    try:
        for statement in statements:
            db.execute_sql(statement)
    finally:
        db.execute_sql("SELECT set_config('lock_timeout', %s, false)", (before,))
