"""A bulk run that a person stopped: who, when and why, and the rows of it that were not touched.

From `stopped_at` on no further row is taken; the run stays RUNNING until the last row that a worker has in hand is settled.
"""

RUN_STATES = "'PREVIEW', 'RUNNING', 'DONE'"
RESULTS = "'DONE', 'MOVED', 'REFUSED', 'GONE', 'LEFT_OUT'"

UP = f"""
ALTER TABLE bulk_runs
    ADD stopped_at timestamptz,
    ADD stopped_by varchar(128),
    ADD stop_reason text,
    ADD CONSTRAINT bulk_runs_stop_whole CHECK (num_nulls(stopped_at, stopped_by, stop_reason) IN (0, 3)),
    ADD CONSTRAINT bulk_runs_stop_signed CHECK (state <> 'STOPPED' OR stopped_at IS NOT NULL),
    DROP CONSTRAINT bulk_runs_state_check,
    ADD CONSTRAINT bulk_runs_state_check CHECK (state IN ({RUN_STATES}, 'STOPPED')),
    DROP CONSTRAINT bulk_runs_check1,
    ADD CONSTRAINT bulk_runs_check1 CHECK ((finished_at IS NOT NULL) = (state IN ('DONE', 'STOPPED')));
ALTER TABLE bulk_items
    DROP CONSTRAINT bulk_items_result_check,
    ADD CONSTRAINT bulk_items_result_check CHECK (result IN ({RESULTS}, 'STOPPED'));
"""
GRANTS = "GRANT UPDATE (stopped_at, stopped_by, stop_reason) ON bulk_runs TO {role}"

# What was stopped must not go on, so its rows become left-out ones; `code` still tells them from the others.
DOWN = f"""
UPDATE bulk_items i SET result = 'LEFT_OUT', code = 'STOPPED', settled_at = coalesce(i.settled_at, now())
    FROM bulk_runs r WHERE r.id = i.run_id AND r.stopped_at IS NOT NULL AND (i.result IS NULL OR i.result = 'STOPPED');
UPDATE bulk_runs SET state = 'DONE', finished_at = coalesce(finished_at, now()) WHERE stopped_at IS NOT NULL;
ALTER TABLE bulk_items
    DROP CONSTRAINT bulk_items_result_check,
    ADD CONSTRAINT bulk_items_result_check CHECK (result IN ({RESULTS}));
ALTER TABLE bulk_runs
    DROP COLUMN stopped_at,
    DROP COLUMN stopped_by,
    DROP COLUMN stop_reason,
    DROP CONSTRAINT bulk_runs_state_check,
    ADD CONSTRAINT bulk_runs_state_check CHECK (state IN ({RUN_STATES})),
    DROP CONSTRAINT bulk_runs_check1,
    ADD CONSTRAINT bulk_runs_check1 CHECK ((finished_at IS NOT NULL) = (state = 'DONE'));
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(UP)
    db.execute_sql(GRANTS.format(role=migration_role()))


def down(migrator, db):
    db.execute_sql(DOWN)
