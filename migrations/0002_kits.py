"""Kits: orders and their kits (only where missing: they may belong to an upstream service), and the two lanes."""

# Each is made only where nothing of that name exists; a table or view that is there is left exactly as it is.
UPSTREAM = {
    "practitioners": """
CREATE TABLE {practitioners} (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL,
    email varchar(320),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
)
""",
    "orders": """
CREATE TABLE {orders} (
    id uuid PRIMARY KEY,
    order_number varchar(64) NOT NULL,
    practitioner_id uuid,
    status varchar(32) NOT NULL DEFAULT 'created',
    shipping_date timestamptz,
    tracking_number varchar(128),
    tracking_url varchar(2048),
    registration_status varchar(32),
    registered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON {orders} (order_number);
CREATE INDEX ON {orders} (practitioner_id);
CREATE INDEX ON {orders} (updated_at)
""",
    "order_kits": """
CREATE TABLE {order_kits} (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL,
    kit_id varchar(64) NOT NULL,
    recipient_email varchar(320),
    registration_id varchar(255),
    registered_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (order_id, kit_id)
);
CREATE INDEX ON {order_kits} (kit_id)
""",
}
GRANT = "GRANT SELECT, INSERT, UPDATE ON {practitioners}, {orders}, {order_kits} TO {role}"

LANES = """
CREATE TABLE order_registrations (
    order_id uuid PRIMARY KEY,
    state varchar(32) NOT NULL,
    code varchar(64),
    detail text,
    sources text[] NOT NULL DEFAULT '{{}}',
    reports integer NOT NULL DEFAULT 0,
    kits integer NOT NULL DEFAULT 0,
    first_reported_at timestamptz NOT NULL DEFAULT now(),
    last_reported_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON order_registrations (state, updated_at);
GRANT SELECT, INSERT, UPDATE ON order_registrations TO {role};

CREATE TABLE kit_registrations (
    LIKE dispatch_template INCLUDING ALL,
    order_id uuid NOT NULL,
    kit_id varchar(64) NOT NULL,
    order_number varchar(64) NOT NULL,
    practitioner_id uuid NOT NULL,
    recipient_email varchar(320),
    UNIQUE (order_id, kit_id)
);
SELECT dispatchlog_install_lane('kit_registrations', 'kit_registration',
                                fixed => '{{order_id,kit_id,order_number,practitioner_id}}');

CREATE TABLE health_information_dispatch_logs (
    LIKE dispatch_template INCLUDING ALL,
    order_id uuid NOT NULL,
    kit_id varchar(64) NOT NULL,
    order_number varchar(64) NOT NULL,
    practitioner_id uuid NOT NULL,
    recipient_email varchar(320),
    registered_at timestamptz NOT NULL,
    UNIQUE (order_id, kit_id)
);
CREATE INDEX ON health_information_dispatch_logs (order_id);
CREATE INDEX ON health_information_dispatch_logs (registered_at);
CREATE INDEX ON health_information_dispatch_logs (status, registered_at);
SELECT dispatchlog_install_lane('health_information_dispatch_logs', 'health_information',
                                fixed => '{{order_id,kit_id,order_number,practitioner_id,registered_at}}');
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role, upstream_tables

    names = upstream_tables()
    for held, create in UPSTREAM.items():
        if db.execute_sql("SELECT to_regclass(%s)", (names[held],)).fetchone()[0] is None:
            db.execute_sql(create.format(**names))
    db.execute_sql(GRANT.format(role=migration_role(), **names))
    db.execute_sql(LANES.format(role=migration_role()))


def down(migrator, db):
    from dispatchlog.migrate import upstream_tables

    db.execute_sql("DELETE FROM dispatch_lanes WHERE lane IN ('kit_registration', 'health_information')")
    db.execute_sql("DROP TABLE kit_registrations, health_information_dispatch_logs, order_registrations")
    for table in upstream_tables().values():
        # Only what this product made and nobody else filled is its to drop.
        is_table = db.execute_sql("SELECT relkind = 'r' FROM pg_class WHERE oid = to_regclass(%s)", (table,)).fetchone()
        if is_table and is_table[0] and not db.execute_sql(f"SELECT EXISTS (SELECT FROM {table})").fetchone()[0]:
            db.execute_sql(f"DROP TABLE {table}")
