"""The life of the data: which server the log is known on, what a restored backup lost, what is kept back, what was deleted."""

TABLES = """
CREATE TABLE log_identity (
    here boolean PRIMARY KEY DEFAULT true CHECK (here),
    system_identifier varchar(32) NOT NULL,
    database_oid bigint NOT NULL,
    confirmed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_by varchar(128) NOT NULL
);
GRANT SELECT, INSERT ON log_identity TO {role};

CREATE TABLE log_restorations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backup_at timestamptz NOT NULL,
    stopped_at timestamptz NOT NULL,
    restored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    restored_by varchar(128) NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    lanes jsonb NOT NULL DEFAULT '{{}}',
    CHECK (backup_at <= stopped_at)
);
CREATE TABLE log_losses (
    dispatch_id uuid NOT NULL,
    generation integer NOT NULL,
    restoration_id bigint NOT NULL,
    source varchar(255) NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (dispatch_id, generation)
);
CREATE INDEX ON log_losses (restoration_id);
GRANT SELECT ON log_restorations, log_losses TO {role};
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(TABLES.format(role=migration_role()))


def down(migrator, db):
    db.execute_sql("DROP TABLE log_losses, log_restorations, log_identity")
