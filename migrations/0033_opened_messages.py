"""Messages that were opened, by when: segments ask for them. Made beside those who write."""

atomic = False
# One that broke off is left invalid, and would be in the way.
DROP = "DROP INDEX CONCURRENTLY IF EXISTS comm_jobs_opened"
CREATE = """
CREATE INDEX CONCURRENTLY comm_jobs_opened ON comm_jobs (opened_at, patient_id, channel, purpose, campaign_id, sent_at)
    WHERE opened_at IS NOT NULL
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
