"""Bulk actions with their frozen rows and what became of each; indexes for the lists of every lane.

The lists' index is only for queries that say `seq > 0`, which every row is: a worker's query, planned while the statistics
lag behind a burst, must not find in it a way to sort all rows that wait. QUEUED rows are few and change most, so they cost
no entry.
"""

LANE_TABLES = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'log_update' ORDER BY 1"

LISTS = {
    "list": "(status, updated_at, id, in_doubt) WHERE seq > 0 AND status <> 'QUEUED'",
    "cause": "(last_error_code, status, updated_at, id) WHERE last_error_code IS NOT NULL",
    "late": "(expires_at, id, in_doubt) WHERE status = 'FAILED' AND expires_at IS NOT NULL",
}

TABLES = """
CREATE TABLE bulk_runs (
    id uuid PRIMARY KEY,
    action varchar(16) NOT NULL CHECK (action IN ('retry', 'cancel')),
    state varchar(16) NOT NULL DEFAULT 'PREVIEW' CHECK (state IN ('PREVIEW', 'RUNNING', 'DONE')),
    selection text NOT NULL DEFAULT '',
    total integer NOT NULL DEFAULT 0,
    chosen integer NOT NULL DEFAULT 0,
    done integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    more boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by varchar(128) NOT NULL,
    started_at timestamptz,
    started_by varchar(128),
    reason text,
    finished_at timestamptz,
    CHECK (state = 'PREVIEW' OR (started_at IS NOT NULL AND started_by IS NOT NULL)),
    CHECK ((finished_at IS NOT NULL) = (state = 'DONE'))
);
CREATE INDEX ON bulk_runs (created_at, id);
CREATE INDEX ON bulk_runs (started_at, id) WHERE state = 'RUNNING';
CREATE TABLE bulk_items (
    run_id uuid NOT NULL REFERENCES bulk_runs (id) ON DELETE CASCADE,
    position integer NOT NULL,
    lane varchar(64) NOT NULL,
    dispatch_id uuid NOT NULL,
    seen_status varchar(16) NOT NULL,
    seen_in_doubt boolean NOT NULL,
    seen_updated_at timestamptz NOT NULL,
    verdict varchar(8) NOT NULL CHECK (verdict IN ('SAFE', 'REVIEW', 'BLOCKED')),
    cause varchar(64) NOT NULL,
    result varchar(16) CHECK (result IN ('DONE', 'MOVED', 'REFUSED', 'GONE', 'LEFT_OUT')),
    code varchar(64),
    message text,
    settled_at timestamptz,
    PRIMARY KEY (run_id, position),
    CHECK ((result IS NULL) = (settled_at IS NULL))
);
CREATE UNIQUE INDEX ON bulk_items (run_id, dispatch_id);
CREATE INDEX ON bulk_items (run_id, position) WHERE result IS NULL;
"""

# What was begun stays; a preview that nobody acted on may go. Its items go with it, as their owner's deed.
KEEP = """
CREATE FUNCTION dispatchlog_keep_bulk_run() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.state <> 'PREVIEW' THEN
        RAISE EXCEPTION 'bulk run % has begun: what was done is kept', OLD.id USING ERRCODE = 'DL004';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER keep_begun BEFORE DELETE ON bulk_runs FOR EACH ROW EXECUTE FUNCTION dispatchlog_keep_bulk_run();
"""

GRANTS = """
GRANT SELECT, INSERT, DELETE, UPDATE (state, chosen, done, unchanged, started_at, started_by, reason, finished_at)
    ON bulk_runs TO {role};
GRANT SELECT, INSERT, UPDATE (result, code, message, settled_at) ON bulk_items TO {role};
"""


def _lane_tables(db):
    return [row[0] for row in db.execute_sql(LANE_TABLES).fetchall()]


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    for columns in LISTS.values():  # future lanes are made like the template, indexes included
        db.execute_sql(f"CREATE INDEX ON dispatch_template {columns}")
    for table in _lane_tables(db):
        for name, columns in LISTS.items():
            db.execute_sql(f"CREATE INDEX dispatchlog_{table}_{name} ON {table} {columns}")
    db.execute_sql(TABLES)
    db.execute_sql(KEEP.replace("%", "%%"))
    db.execute_sql(GRANTS.format(role=migration_role()))


def down(migrator, db):
    db.execute_sql("DROP TABLE bulk_items, bulk_runs")
    db.execute_sql("DROP FUNCTION dispatchlog_keep_bulk_run")
    for table in _lane_tables(db):
        for name in LISTS:
            db.execute_sql(f"DROP INDEX IF EXISTS dispatchlog_{table}_{name}")
    # A lane that was made in between has them under names of PostgreSQL's choice.
    made = db.execute_sql(
        "SELECT x.indexrelid::regclass::text FROM pg_index x WHERE x.indrelid = ANY ("
        " SELECT tgrelid FROM pg_trigger WHERE tgname = 'log_update' UNION SELECT 'dispatch_template'::regclass)"
        " AND pg_get_expr(x.indpred, x.indrelid) = ANY (ARRAY[%s, %s, %s])"
        " AND x.indnkeyatts > 2",
        PREDICATES,
    ).fetchall()
    for (name,) in made:
        db.execute_sql(f"DROP INDEX {name}")


PREDICATES = (
    "((seq > 0) AND ((status)::text <> 'QUEUED'::text))",
    "(last_error_code IS NOT NULL)",
    "(((status)::text = 'FAILED'::text) AND (expires_at IS NOT NULL))",
)
