"""Service tokens: how upstream services sign in to the JSON API. Only a hash of the secret is kept."""

TABLE = """
CREATE TABLE service_tokens (
    id varchar(16) PRIMARY KEY,
    name varchar(64) NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9-]*$'),
    secret_sha256 bytea NOT NULL CHECK (octet_length(secret_sha256) = 32),
    scopes text[] NOT NULL
        CHECK (scopes <@ '{{orders:write,orders:read,dispatches:read,dispatches:act}}' AND scopes <> '{{}}'),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by varchar(128) NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz
);
-- One unlimited token per name. A rotated one has a revocation ahead of it, so both work until then.
CREATE UNIQUE INDEX service_tokens_name ON service_tokens (name) WHERE revoked_at IS NULL;
GRANT SELECT, INSERT, UPDATE (last_used_at, revoked_at) ON service_tokens TO {role};
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(TABLE.format(role=migration_role()))


def down(migrator, db):
    db.execute_sql("DROP TABLE service_tokens")
