"""Pharmacy orders, the courier's dispatches and events, and the three lanes of the courier system."""

TABLES = """
CREATE TABLE pharmacies (
    id uuid PRIMARY KEY,
    code varchar(40) NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'),
    name varchar(255) NOT NULL,
    phone varchar(32) NOT NULL,
    email varchar(320),
    address varchar(500) NOT NULL,
    city varchar(120) NOT NULL DEFAULT '',
    latitude double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE pharmacy_orders (
    id uuid PRIMARY KEY,
    order_number varchar(64) NOT NULL UNIQUE,
    pharmacy_id uuid NOT NULL REFERENCES pharmacies (id) ON DELETE RESTRICT,
    patient_id varchar(64) NOT NULL DEFAULT '',
    patient_name varchar(255) NOT NULL,
    patient_phone varchar(32) NOT NULL,
    patient_email varchar(320) NOT NULL,
    address varchar(500) NOT NULL,
    city varchar(120) NOT NULL DEFAULT '',
    latitude double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    address_note varchar(500) NOT NULL DEFAULT '',
    currency varchar(3) NOT NULL,
    total_minor bigint NOT NULL CHECK (total_minor >= 0),
    payment_status varchar(16) NOT NULL DEFAULT 'Pending'
        CHECK (payment_status IN ('Pending', 'Paid', 'Failed', 'Refunded')),
    payment_reference varchar(128),
    paid_at timestamptz,
    is_ready_for_dispatch boolean NOT NULL DEFAULT false,
    ready_at timestamptz,
    ready_by varchar(128),
    deliver_by timestamptz,
    dispatch_id uuid,
    dispatch_status varchar(16),
    document_sha256 bytea NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    source varchar(128) NOT NULL,
    trace_id varchar(64) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((payment_status = 'Paid') <= (paid_at IS NOT NULL)),
    CHECK (is_ready_for_dispatch = (ready_at IS NOT NULL)),
    CHECK ((dispatch_id IS NULL) = (dispatch_status IS NULL))
);
CREATE INDEX ON pharmacy_orders (created_at, id);
CREATE INDEX ON pharmacy_orders (dispatch_status, created_at, id);
CREATE INDEX ON pharmacy_orders (payment_status, is_ready_for_dispatch, created_at, id);
CREATE INDEX ON pharmacy_orders (pharmacy_id);
CREATE INDEX ON pharmacy_orders (patient_id) WHERE patient_id <> '';
CREATE TABLE pharmacy_order_items (
    order_id uuid NOT NULL REFERENCES pharmacy_orders (id) ON DELETE RESTRICT,
    number smallint NOT NULL CHECK (number > 0),
    name varchar(255) NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, number)
);
CREATE TABLE courier_dispatches (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES pharmacy_orders (id) ON DELETE RESTRICT,
    attempt integer NOT NULL CHECK (attempt > 0),
    courier varchar(32) NOT NULL,
    status varchar(16) NOT NULL DEFAULT 'REQUESTED' CHECK (status IN
        ('REQUESTED', 'BOOKED', 'ASSIGNED', 'PICKED_UP', 'IN_TRANSIT', 'DELIVERED', 'FAILED', 'CANCELED')),
    courier_reference varchar(255),
    job_references jsonb NOT NULL DEFAULT '{{}}',
    raw_status varchar(255) NOT NULL DEFAULT '',
    tracking_url varchar(2048),
    driver_name varchar(255),
    driver_phone varchar(32),
    eta_at timestamptz,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    booked_at timestamptz,
    assigned_at timestamptz,
    picked_up_at timestamptz,
    in_transit_at timestamptz,
    ended_at timestamptz,
    failure_code varchar(64),
    failure_reason text,
    confirmed_by varchar(8) CHECK (confirmed_by IN ('otp', 'courier', 'staff')),
    code_counter integer NOT NULL DEFAULT 0,
    code_hash bytea,
    code_expires_at timestamptz,
    code_tries integer NOT NULL DEFAULT 0,
    code_locked_at timestamptz,
    cancel_requested_at timestamptz,
    cancel_requested_by varchar(128),
    cancel_reason text,
    cancel_refused varchar(255),
    poll_at timestamptz,
    polled_at timestamptz,
    heard_at timestamptz,
    polls_apart integer NOT NULL DEFAULT 0,
    disagreement varchar(255),
    trace_id varchar(64) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (order_id, attempt),
    CHECK ((status IN ('DELIVERED', 'FAILED', 'CANCELED')) = (ended_at IS NOT NULL)),
    CHECK ((status = 'DELIVERED') = (confirmed_by IS NOT NULL))
);
-- However many ask for it at once, an order has one dispatch that is under way or arrived.
CREATE UNIQUE INDEX courier_dispatches_one_open ON courier_dispatches (order_id)
    WHERE status NOT IN ('FAILED', 'CANCELED');
CREATE UNIQUE INDEX courier_dispatches_reference ON courier_dispatches (courier, courier_reference)
    WHERE courier_reference IS NOT NULL;
CREATE INDEX courier_dispatches_poll ON courier_dispatches (poll_at) WHERE poll_at IS NOT NULL;
CREATE INDEX courier_dispatches_disagreement ON courier_dispatches (updated_at) WHERE disagreement IS NOT NULL;
CREATE INDEX ON courier_dispatches (created_at, id);
CREATE INDEX ON courier_dispatches (ended_at) WHERE ended_at IS NOT NULL;
CREATE TABLE courier_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    courier varchar(32) NOT NULL,
    event_id varchar(128) NOT NULL,
    source varchar(8) NOT NULL CHECK (source IN ('booking', 'webhook', 'poll', 'otp', 'staff')),
    courier_reference varchar(255) NOT NULL DEFAULT '',
    dispatch_id uuid REFERENCES courier_dispatches (id) ON DELETE RESTRICT,
    raw_status varchar(255) NOT NULL,
    status varchar(16),
    occurred_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body jsonb NOT NULL DEFAULT '{{}}',
    actor varchar(128) NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    trace_id varchar(64) NOT NULL DEFAULT '',
    applied_at timestamptz,
    effect varchar(16) CHECK (effect IN ('MOVED', 'NOTED', 'BEHIND', 'UNKNOWN', 'UNMATCHED', 'SUPERSEDED')),
    UNIQUE (courier, event_id),
    CHECK ((applied_at IS NULL) = (effect IS NULL))
);
CREATE INDEX courier_events_open ON courier_events (id) WHERE applied_at IS NULL;
CREATE INDEX courier_events_unmatched ON courier_events (courier, courier_reference) WHERE effect = 'UNMATCHED';
CREATE INDEX ON courier_events (dispatch_id, id);
CREATE TABLE order_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL,
    version bigint NOT NULL,
    what varchar(32) NOT NULL,
    payload jsonb NOT NULL,
    trace_id varchar(64) NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON order_changes (order_id, id);
CREATE TABLE courier_bookings (
    LIKE dispatch_template INCLUDING ALL,
    order_id uuid NOT NULL REFERENCES pharmacy_orders (id) ON DELETE RESTRICT,
    courier_dispatch_id uuid NOT NULL UNIQUE REFERENCES courier_dispatches (id) ON DELETE RESTRICT,
    order_number varchar(64) NOT NULL,
    attempt integer NOT NULL,
    courier varchar(32) NOT NULL,
    UNIQUE (order_id, attempt)
);
CREATE TABLE courier_cancellations (
    LIKE dispatch_template INCLUDING ALL,
    order_id uuid NOT NULL REFERENCES pharmacy_orders (id) ON DELETE RESTRICT,
    courier_dispatch_id uuid NOT NULL REFERENCES courier_dispatches (id) ON DELETE RESTRICT,
    request integer NOT NULL,
    order_number varchar(64) NOT NULL,
    courier varchar(32) NOT NULL,
    courier_reference varchar(255) NOT NULL,
    UNIQUE (courier_dispatch_id, request)
);
CREATE INDEX ON courier_cancellations (order_id);
CREATE TABLE courier_messages (
    LIKE dispatch_template INCLUDING ALL,
    order_id uuid NOT NULL REFERENCES pharmacy_orders (id) ON DELETE RESTRICT,
    courier_dispatch_id uuid NOT NULL REFERENCES courier_dispatches (id) ON DELETE RESTRICT,
    order_number varchar(64) NOT NULL,
    kind varchar(16) NOT NULL CHECK (kind IN ('CODE', 'UPDATE')),
    about varchar(32) NOT NULL,
    recipient_role varchar(16) NOT NULL CHECK (recipient_role IN ('PATIENT', 'PHARMACY')),
    recipient_email varchar(320),
    UNIQUE (courier_dispatch_id, kind, about, recipient_role)
);
CREATE INDEX ON courier_messages (order_id);
"""

LANES = """
SELECT dispatchlog_install_lane('courier_bookings', 'courier_booking',
    fixed => '{{order_id,courier_dispatch_id,order_number,attempt,courier}}');
SELECT dispatchlog_install_lane('courier_cancellations', 'courier_cancellation',
    fixed => '{{order_id,courier_dispatch_id,request,order_number,courier,courier_reference}}');
SELECT dispatchlog_install_lane('courier_messages', 'courier_message',
    fixed => '{{order_id,courier_dispatch_id,order_number,kind,about,recipient_role}}');
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON pharmacies, pharmacy_orders, courier_dispatches TO {role};
GRANT SELECT, INSERT ON pharmacy_order_items, order_changes TO {role};
GRANT SELECT, INSERT, UPDATE (dispatch_id, applied_at, effect) ON courier_events TO {role};
"""

SCOPES = "orders:write,orders:read,dispatches:read,dispatches:act,dispatches:control,visits:write,visits:read,hl7:retry"
ADDED = "pharmacy:write,pharmacy:read,pharmacy:act"
CHANGE = """
ALTER TABLE service_tokens
    DROP CONSTRAINT service_tokens_scopes_check,
    ADD CONSTRAINT service_tokens_scopes_check CHECK (scopes <@ '{{{scopes}}}' AND scopes <> '{{}}')
"""
# A token must have a scope, so one that had only these is revoked with one that does not matter any more.
FORGET = """
UPDATE service_tokens SET
    scopes = CASE WHEN scopes <@ '{{{added}}}' THEN '{{dispatches:read}}'
        ELSE ARRAY(SELECT scope FROM unnest(scopes) AS scope WHERE scope <> ALL ('{{{added}}}')) END,
    revoked_at = CASE WHEN scopes <@ '{{{added}}}' THEN coalesce(revoked_at, now()) ELSE revoked_at END
WHERE scopes && '{{{added}}}'
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    role = migration_role()
    db.execute_sql(TABLES.format())
    db.execute_sql(LANES.format())
    db.execute_sql("SELECT dispatchlog_append_only('pharmacy_order_items')")
    db.execute_sql("SELECT dispatchlog_append_only('order_changes')")
    db.execute_sql(GRANTS.format(role=role))
    db.execute_sql(CHANGE.format(scopes=f"{SCOPES},{ADDED}"))


def down(migrator, db):
    db.execute_sql(
        "DELETE FROM dispatch_lanes WHERE lane IN ('courier_booking', 'courier_cancellation', 'courier_message')"
    )
    db.execute_sql(
        "DROP TABLE courier_messages, courier_cancellations, courier_bookings, order_changes, courier_events,"
        " courier_dispatches, pharmacy_order_items, pharmacy_orders, pharmacies"
    )
    db.execute_sql(FORGET.format(added=ADDED))
    db.execute_sql(CHANGE.format(scopes=SCOPES))
