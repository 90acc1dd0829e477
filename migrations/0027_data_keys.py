"""Keys under which secrets are sealed and hashed: random, and themselves wrapped under the application's secret key."""

# One key of a purpose is active: what is sealed from now on is sealed under it. A later one supersedes it; what was sealed
# under it stays readable until it is retired.
TABLE = """
CREATE TABLE data_keys (
    id integer PRIMARY KEY CHECK (id > 0),
    purpose varchar(8) NOT NULL CHECK (purpose IN ('seal', 'find')),
    wrapped bytea NOT NULL CHECK (octet_length(wrapped) = 60),
    key_check bytea NOT NULL CHECK (octet_length(key_check) = 8),
    created_at timestamptz NOT NULL DEFAULT now(),
    wrapped_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    superseded_at timestamptz,
    retired_at timestamptz,
    CHECK (retired_at IS NULL OR superseded_at IS NOT NULL),
    CHECK (purpose <> 'find' OR superseded_at IS NULL)
);
CREATE UNIQUE INDEX data_keys_active ON data_keys (purpose) WHERE superseded_at IS NULL;
GRANT SELECT, INSERT (id, purpose, wrapped, key_check) ON data_keys TO {role};
"""

# Without its key nothing sealed can ever be read again, so the table goes only while nothing can have been sealed.
DOWN = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM data_keys) THEN
        RAISE EXCEPTION 'data_keys holds the keys of everything sealed and hashed, which is lost for ever without them;'
            ' delete its rows first if that is meant';
    END IF;
END $$;
DROP TABLE data_keys;
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(TABLE.format(role=migration_role()))


def down(migrator, db):
    db.execute_sql(DOWN)
