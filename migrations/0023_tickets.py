"""Tickets and what hangs on them: parties and their people, prescriptions, threads, messages, the timeline, the lane of
notifications. Who may see and do what is the next migration's.
"""

TABLES = """
CREATE TABLE care_parties (
    id uuid PRIMARY KEY,
    kind varchar(16) NOT NULL CHECK (kind IN ('doctor', 'pharmacy', 'laboratory', 'patient')),
    name varchar(255) NOT NULL CHECK (name <> ''),
    email varchar(320),
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON care_parties (kind, name, id);
CREATE INDEX ON care_parties (lower(email)) WHERE kind = 'patient';
CREATE INDEX ON care_parties USING gin (to_tsvector('simple', name)) WHERE kind = 'patient';
CREATE TABLE care_people (
    id uuid PRIMARY KEY,
    party_id uuid NOT NULL REFERENCES care_parties (id) ON DELETE RESTRICT,
    name varchar(255) NOT NULL CHECK (name <> ''),
    user_id integer UNIQUE REFERENCES staff_users (id) ON DELETE RESTRICT,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON care_people (party_id);

CREATE TABLE healthcare_tickets (
    id uuid PRIMARY KEY,
    ticket_number varchar(18) COLLATE "C" NOT NULL UNIQUE CHECK (ticket_number ~ '^TKT-[0-9]{{8}}-[A-Z0-9]{{5}}$'),
    ticket_type varchar(16) NOT NULL CHECK (ticket_type IN ('prescription', 'lab_request', 'referral')),
    status varchar(16) NOT NULL DEFAULT 'created'
        CHECK (status IN ('created', 'sent', 'received', 'ready', 'completed', 'cancelled')),
    prescription_id uuid UNIQUE,
    appointment_id uuid NOT NULL,
    patient_id uuid NOT NULL REFERENCES care_parties (id) ON DELETE RESTRICT,
    primary_provider_id uuid NOT NULL REFERENCES care_parties (id) ON DELETE RESTRICT,
    secondary_provider_id uuid NOT NULL REFERENCES care_parties (id) ON DELETE RESTRICT,
    sent_at timestamptz,
    received_at timestamptz,
    ready_at timestamptz,
    ended_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    trace_id varchar(64) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (primary_provider_id <> secondary_provider_id),
    CHECK (status IN ('created', 'cancelled') OR (prescription_id IS NOT NULL AND sent_at IS NOT NULL)),
    CHECK ((status IN ('completed', 'cancelled')) = (ended_at IS NOT NULL))
);
-- However often a doctor chooses a pharmacy for an appointment, there is one ticket.
CREATE UNIQUE INDEX healthcare_tickets_appointment ON healthcare_tickets (appointment_id, ticket_type)
    WHERE status <> 'cancelled';
CREATE INDEX ON healthcare_tickets (secondary_provider_id, sent_at, id) WHERE sent_at IS NOT NULL;
CREATE INDEX ON healthcare_tickets (secondary_provider_id, status, sent_at, id) WHERE sent_at IS NOT NULL;
CREATE INDEX ON healthcare_tickets (secondary_provider_id, created_at, id);
CREATE INDEX ON healthcare_tickets (appointment_id, created_at, id);
CREATE INDEX ON healthcare_tickets (primary_provider_id, created_at, id);
CREATE INDEX ON healthcare_tickets (primary_provider_id, status, created_at, id);
CREATE INDEX ON healthcare_tickets (patient_id, created_at, id);
CREATE INDEX ON healthcare_tickets (created_at, id);
CREATE INDEX ON healthcare_tickets (status, created_at, id);

CREATE TABLE prescriptions (
    id uuid PRIMARY KEY,
    ticket_id uuid UNIQUE REFERENCES healthcare_tickets (id) ON DELETE RESTRICT,
    appointment_id uuid NOT NULL,
    patient_id uuid NOT NULL,
    doctor_id uuid NOT NULL,
    pharmacy_id uuid NOT NULL,
    notes text NOT NULL DEFAULT '',
    created_by uuid,
    is_legacy boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (ticket_id IS NOT NULL OR is_legacy)
);
CREATE INDEX ON prescriptions (appointment_id);
CREATE INDEX prescriptions_legacy ON prescriptions (id) WHERE is_legacy;
CREATE TABLE prescription_items (
    prescription_id uuid NOT NULL REFERENCES prescriptions (id) ON DELETE RESTRICT,
    number smallint NOT NULL CHECK (number > 0),
    name varchar(255) NOT NULL CHECK (name <> ''),
    strength varchar(64) NOT NULL DEFAULT '',
    form varchar(64) NOT NULL DEFAULT '',
    dosage varchar(255) NOT NULL DEFAULT '',
    frequency varchar(255) NOT NULL DEFAULT '',
    duration varchar(255) NOT NULL DEFAULT '',
    quantity varchar(64) NOT NULL DEFAULT '',
    refills smallint NOT NULL DEFAULT 0 CHECK (refills BETWEEN 0 AND 99),
    instructions text NOT NULL DEFAULT '',
    PRIMARY KEY (prescription_id, number)
);
CREATE TABLE prescription_drafts (
    ticket_id uuid PRIMARY KEY REFERENCES healthcare_tickets (id) ON DELETE RESTRICT,
    document jsonb NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE chat_threads (
    id uuid PRIMARY KEY,
    ticket_id uuid REFERENCES healthcare_tickets (id) ON DELETE RESTRICT,
    order_id uuid,
    order_type varchar(32) NOT NULL DEFAULT 'prescription',
    is_legacy boolean NOT NULL DEFAULT false,
    last_number bigint NOT NULL DEFAULT 0,
    last_message_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (ticket_id IS NOT NULL OR is_legacy)
);
CREATE UNIQUE INDEX idx_chat_threads_ticket_id ON chat_threads (ticket_id);
CREATE INDEX idx_chat_threads_order_id ON chat_threads (order_id);
CREATE INDEX chat_threads_legacy ON chat_threads (id) WHERE is_legacy;
-- A member is a party; of an old thread perhaps the id of a person, until it is backfilled.
CREATE TABLE chat_thread_members (
    thread_id uuid NOT NULL REFERENCES chat_threads (id) ON DELETE RESTRICT,
    party_id uuid NOT NULL,
    read_number bigint NOT NULL DEFAULT 0,
    read_at timestamptz,
    read_by uuid,
    has_unread boolean NOT NULL DEFAULT false,
    unread_since timestamptz,
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (thread_id, party_id)
);
CREATE INDEX chat_thread_members_unread ON chat_thread_members (party_id, thread_id) WHERE has_unread;
CREATE INDEX chat_thread_members_waiting ON chat_thread_members (unread_since) WHERE has_unread;
CREATE INDEX ON chat_thread_members (party_id);

CREATE TABLE ticket_timeline (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id uuid NOT NULL REFERENCES healthcare_tickets (id) ON DELETE RESTRICT,
    kind varchar(32) NOT NULL,
    from_status varchar(16),
    to_status varchar(16),
    detail jsonb NOT NULL DEFAULT '{{}}',
    reason text,
    person_id uuid,
    party_id uuid,
    actor varchar(128) NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON ticket_timeline (ticket_id, id);
CREATE TABLE chat_messages (
    id uuid PRIMARY KEY,
    thread_id uuid NOT NULL REFERENCES chat_threads (id) ON DELETE RESTRICT,
    number bigint NOT NULL CHECK (number > 0),
    sender_id uuid NOT NULL,
    sender_party_id uuid,
    client_message_id uuid NOT NULL,
    body text NOT NULL CHECK (length(body) <= 8000),
    attachments jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(attachments) = 'array'),
    timeline_id bigint,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (thread_id, number),
    UNIQUE (sender_id, client_message_id),
    CHECK (body <> '' OR attachments <> '[]')
);

-- Staff who look at what is said do so for a quarter of an hour, with a reason that everybody concerned can read.
CREATE TABLE emergency_accesses (
    id uuid PRIMARY KEY,
    ticket_id uuid NOT NULL REFERENCES healthcare_tickets (id) ON DELETE RESTRICT,
    user_id integer NOT NULL REFERENCES staff_users (id) ON DELETE RESTRICT,
    reason text NOT NULL CHECK (length(btrim(reason)) >= 10),
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    CHECK (expires_at > opened_at AND expires_at <= opened_at + interval '16 minutes')
);
CREATE INDEX ON emergency_accesses (ticket_id, user_id, expires_at);
CREATE INDEX ON emergency_accesses (user_id);

-- What those who listen are told: ids, numbers and statuses, and which parties may hear it.
CREATE TABLE ticket_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id uuid NOT NULL,
    version bigint NOT NULL,
    what varchar(32) NOT NULL,
    payload jsonb NOT NULL,
    audience uuid[] NOT NULL,
    trace_id varchar(64) NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON ticket_changes (ticket_id, id);

-- What of the old threads the backfill left alone, and why.
CREATE TABLE ticket_backfill_findings (
    kind varchar(16) NOT NULL CHECK (kind IN ('thread', 'prescription')),
    id uuid NOT NULL,
    code varchar(64) NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, id)
);

CREATE TABLE ticket_notifications (
    LIKE dispatch_template INCLUDING ALL,
    ticket_id uuid NOT NULL REFERENCES healthcare_tickets (id) ON DELETE RESTRICT,
    ticket_number varchar(18) NOT NULL,
    ticket_type varchar(16) NOT NULL,
    kind varchar(16) NOT NULL CHECK (kind IN ('SENT', 'READY', 'UNREAD', 'CANCELLED')),
    about varchar(64) NOT NULL,
    party_id uuid NOT NULL REFERENCES care_parties (id) ON DELETE RESTRICT,
    recipient_email varchar(320),
    UNIQUE (ticket_id, kind, about, party_id)
);
CREATE INDEX ON ticket_notifications (party_id);
SELECT dispatchlog_install_lane('ticket_notifications', 'ticket_notification',
    fixed => '{{ticket_id,ticket_number,ticket_type,kind,about,party_id}}');
"""

ROLES = """
INSERT INTO staff_roles (name, description, permissions) VALUES
    ('doctor', 'Writes prescriptions and requests, and the messages about them', '{tickets}'),
    ('patient', 'Sees own prescriptions, and writes to doctor and pharmacy about them', '{tickets}');
UPDATE staff_roles SET permissions = permissions || '{tickets}' WHERE name = 'pharmacist';
UPDATE staff_roles SET permissions = permissions || '{oversee}' WHERE name IN ('viewer', 'support', 'auditor', 'admin');
UPDATE staff_roles SET permissions = permissions || '{emergency}' WHERE name IN ('support', 'admin');
"""
NO_ROLES = """
DELETE FROM staff_user_roles WHERE role_id IN (SELECT id FROM staff_roles WHERE name IN ('doctor', 'patient'));
DELETE FROM staff_roles WHERE name IN ('doctor', 'patient');
UPDATE staff_roles SET permissions =
    array_remove(array_remove(array_remove(permissions, 'tickets'), 'oversee'), 'emergency');
"""

SCOPES = (
    "orders:write,orders:read,dispatches:read,dispatches:act,dispatches:control,visits:write,visits:read,hl7:retry,"
    "pharmacy:write,pharmacy:read,pharmacy:act"
)
ADDED = "tickets:people"
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
    db.execute_sql(TABLES.format())
    db.execute_sql(ROLES)
    db.execute_sql(CHANGE.format(scopes=f"{SCOPES},{ADDED}"))


def down(migrator, db):
    db.execute_sql("DELETE FROM dispatch_lanes WHERE lane = 'ticket_notification'")
    db.execute_sql(
        "DROP TABLE ticket_notifications, ticket_backfill_findings, ticket_changes, emergency_accesses, chat_messages,"
        " ticket_timeline, chat_thread_members, chat_threads, prescription_drafts, prescription_items, prescriptions,"
        " healthcare_tickets, care_people, care_parties"
    )
    db.execute_sql(NO_ROLES)
    db.execute_sql(FORGET.format(added=ADDED))
    db.execute_sql(CHANGE.format(scopes=SCOPES))
