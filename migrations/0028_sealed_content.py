"""What rows say of patients, sealed: columns for it beside the plain ones, which stay for what older releases wrote."""

# A column that may be null is added without a look at the rows. `dispatchlog seal` seals the older ones afterwards.
COLUMNS = """
ALTER TABLE dispatch_payloads ADD COLUMN sealed bytea;
"""


def up(migrator, db):
    db.execute_sql(COLUMNS)


def down(migrator, db):
    """Refused while content is sealed: the release before would not find it."""
    if db.execute_sql("SELECT FROM dispatch_payloads WHERE sealed IS NOT NULL LIMIT 1").fetchone():
        raise RuntimeError("what was stored to be sent is sealed and an older release cannot read it; restore a backup")
    db.execute_sql("ALTER TABLE dispatch_payloads DROP COLUMN sealed")
