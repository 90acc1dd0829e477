"""Replays of failed dispatches, escalations of doubts, and the indexes of the pages that show both."""

LANE_TABLES = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'log_update' ORDER BY 1"

TABLES = """
CREATE TABLE dispatch_replays (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway varchar(64) NOT NULL,
    cause varchar(64) NOT NULL,
    since timestamptz NOT NULL,
    state varchar(16) NOT NULL DEFAULT 'RUNNING'
        CHECK (state IN ('RUNNING', 'STOPPED', 'HALTED', 'DONE', 'ENDED')),
    stage smallint NOT NULL DEFAULT 0 CHECK (stage BETWEEN 0 AND 2),
    round integer NOT NULL DEFAULT 0,
    total integer NOT NULL DEFAULT 0,
    actor varchar(128) NOT NULL,
    reason text NOT NULL,
    started_by varchar(128) NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    halted_by uuid
);
-- One at a time for each incident, and what the scheduler looks for.
CREATE UNIQUE INDEX dispatch_replays_open ON dispatch_replays (gateway, cause)
    WHERE state IN ('RUNNING', 'STOPPED', 'HALTED');
CREATE TABLE dispatch_replay_rows (
    replay_id bigint NOT NULL,
    position integer NOT NULL,
    lane varchar(64) NOT NULL,
    dispatch_id uuid NOT NULL,
    failed_at timestamptz NOT NULL,
    state varchar(16) NOT NULL DEFAULT 'WAITING'
        CHECK (state IN ('WAITING', 'RELEASED', 'SENT', 'FAILED', 'SKIPPED')),
    round integer,
    attempts integer,
    code varchar(64),
    note text,
    released_at timestamptz,
    settled_at timestamptz,
    PRIMARY KEY (replay_id, position)
);
CREATE INDEX ON dispatch_replay_rows (replay_id, state, position);
CREATE INDEX ON dispatch_replay_rows (dispatch_id);
GRANT SELECT, INSERT, UPDATE (state, stage, round, actor, total, updated_at, halted_by) ON dispatch_replays TO {role};
GRANT SELECT, INSERT, UPDATE (state, round, attempts, code, note, released_at, settled_at)
    ON dispatch_replay_rows TO {role};

CREATE TABLE dispatch_escalations (
    dispatch_id uuid NOT NULL,
    claim_token uuid NOT NULL,
    lane varchar(64) NOT NULL,
    note text NOT NULL,
    escalated_by varchar(128) NOT NULL,
    escalated_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,
    PRIMARY KEY (dispatch_id, claim_token)
);
CREATE INDEX ON dispatch_escalations (lane, escalated_at) WHERE closed_at IS NULL;
GRANT SELECT, INSERT, UPDATE (note, escalated_by, escalated_at, closed_at) ON dispatch_escalations TO {role};

-- What left and what failed in an hour, per lane. A doubt that is raised or settled while it stays FAILED is no failure.
CREATE INDEX dispatch_transitions_hours ON dispatch_transitions (lane, to_status, at)
    WHERE to_status IN ('SENT', 'FAILED') AND from_status <> to_status;
"""

DOUBTS = "coalesce(expires_at, 'infinity'::timestamptz), coalesce(claimed_at, created_at), id"
LANE_INDEXES = {
    "doubts": f"({DOUBTS}) WHERE in_doubt",
    "causes": "(last_error_code, updated_at, id) WHERE status = 'FAILED' AND NOT in_doubt",
}


def _tables(db):
    return ["dispatch_template", *[row[0] for row in db.execute_sql(LANE_TABLES).fetchall()]]


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(TABLES.format(role=migration_role()))
    for table in _tables(db):
        for name, columns in LANE_INDEXES.items():
            db.execute_sql(f"CREATE INDEX {table}_{name} ON {table} {columns}")


def down(migrator, db):
    for table in _tables(db):
        for name in LANE_INDEXES:
            db.execute_sql(f"DROP INDEX IF EXISTS {table}_{name}")
    db.execute_sql("DROP INDEX dispatch_transitions_hours")
    db.execute_sql("DROP TABLE dispatch_replays, dispatch_replay_rows, dispatch_escalations")
