"""Indexes by which a claim finds a route's next rows however many others are held: by key, without one, and suspects."""

LANE_TABLES = """
SELECT tgrelid::regclass::text FROM pg_trigger JOIN pg_attribute ON attrelid = tgrelid
WHERE tgname = 'log_update' AND attname = 'stale_at' AND NOT attisdropped ORDER BY 1
"""
FUNCTION = "SELECT pg_get_functiondef('dispatchlog_divide_lane'::regproc)"

# The last of those that a lane divided into routes has had.
LAST = "$i$(ordering_key, seq) WHERE status IN ('PENDING', 'FAILED') AND ordering_key IS NOT NULL$i$"
INDEXES = {
    "keys": "(route, ordering_key, seq) WHERE status = 'PENDING' AND ordering_key IS NOT NULL",
    "keyless": "(route, seq) WHERE status = 'PENDING' AND ordering_key IS NULL",
    "suspects": "(route, seq) WHERE status = 'PENDING' AND rescues >= 2",
}
MORE = LAST + "".join(f",\n        $i${columns}$i$" for columns in INDEXES.values())


def _replace(db, old, new):
    """Further lanes are divided with these indexes, or without them again."""
    ((text,),) = db.execute_sql(FUNCTION).fetchall()
    if text.count(old) != 1:
        raise RuntimeError("dispatchlog_divide_lane is not as it was made")
    db.execute_sql(text.replace(old, new).replace("%", "%%"))


def _tables(db):
    return [row[0] for row in db.execute_sql(LANE_TABLES).fetchall()]


def up(migrator, db):
    _replace(db, LAST, MORE)
    for table in _tables(db):
        for name, columns in INDEXES.items():
            db.execute_sql(f"CREATE INDEX {table}_{name} ON {table} {columns}")


def down(migrator, db):
    _replace(db, MORE, LAST)
    for table in _tables(db):
        for name in INDEXES:
            db.execute_sql(f"DROP INDEX {table}_{name}")
