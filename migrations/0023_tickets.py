"""Tickets and what hangs on them: parties and their people, prescriptions, threads, messages, the timeline, the lane of
notifications. Who may see and do what is the next migration's.

Prescriptions and threads of an upstream service, if they are there, are adopted in place: its rows, columns and constraints
stay, and what is ours is added. `adopted_tables`, which only such a database has, says what to take away again.
"""

import re

from playhouse.migrations import MigrationError

TICKETS = """
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
"""
ITEMS = """
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
"""
REST = """
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

-- Of which lanes they hold anything: whoever may not see one of them sees nothing of the whole.
ALTER TABLE bulk_runs ADD lanes text[] NOT NULL DEFAULT '{{}}';
ALTER TABLE dispatch_replays ADD lanes text[] NOT NULL DEFAULT '{{}}';
GRANT UPDATE (lanes) ON dispatch_replays TO {role};

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
# These four may be an upstream service's already; then they are adopted instead of made.
CONVERSATIONS = {
    "prescriptions": """
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
""",
    "chat_threads": """
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
""",
    "chat_thread_members": """
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
""",
    "chat_messages": """
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
""",
}

# What an upstream service's tables have at least, all or none of the threads' three.
EXPECTED = {
    "prescriptions": {
        "id": "uuid",
        "appointment_id": "uuid",
        "patient_id": "uuid",
        "doctor_id": "uuid",
        "pharmacy_id": "uuid",
        "created_at": "timestamp with time zone",
    },
    "chat_threads": {"id": "uuid", "order_id": "uuid", "order_type": "text", "created_at": "timestamp with time zone"},
    "chat_thread_members": {"thread_id": "uuid", "user_id": "uuid"},
    "chat_messages": {
        "id": "uuid",
        "thread_id": "uuid",
        "sender_id": "uuid",
        "created_at": "timestamp with time zone",
    },
}
# What they may have besides, in this type; any other column of these names would be mistaken for ours.
POSSIBLE = {
    "prescriptions": {"ticket_id": "uuid", "notes": "text"},
    "chat_threads": {"ticket_id": "uuid"},
    "chat_thread_members": {},
    "chat_messages": {"body": "text", "content": "text"},
}
ADDED_COLUMNS = {
    "prescriptions": {
        "ticket_id": "uuid",
        "notes": "text DEFAULT ''",
        "created_by": "uuid",
        "is_legacy": "boolean NOT NULL DEFAULT true",
    },
    "chat_threads": {
        "ticket_id": "uuid",
        "is_legacy": "boolean NOT NULL DEFAULT true",
        "last_number": "bigint NOT NULL DEFAULT 0",
        "last_message_at": "timestamptz",
    },
    "chat_thread_members": {
        "party_id": "uuid",
        "read_number": "bigint NOT NULL DEFAULT 0",
        "read_at": "timestamptz",
        "read_by": "uuid",
        "has_unread": "boolean NOT NULL DEFAULT false",
        "unread_since": "timestamptz",
        "joined_at": "timestamptz NOT NULL DEFAULT clock_timestamp()",
    },
    "chat_messages": {
        "number": "bigint CHECK (number > 0)",
        "sender_party_id": "uuid",
        "client_message_id": "uuid",
        "body": "text",
        "attachments": "jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(attachments) = 'array')",
        "timeline_id": "bigint",
    },
}
# Rows that could not be adopted, by what is said of them.
UNFIT = {
    "prescriptions": {"without created_at": "created_at IS NULL"},
    "chat_threads": {"without created_at": "created_at IS NULL"},
    "chat_thread_members": {
        "without user_id": "user_id IS NULL",
        "of no thread": "NOT EXISTS (SELECT FROM chat_threads t WHERE t.id = r.thread_id)",
        "that stand there twice": "EXISTS (SELECT FROM chat_thread_members o WHERE o.thread_id = r.thread_id"
        " AND o.user_id = r.user_id AND o.ctid < r.ctid)",
    },
    "chat_messages": {
        "without sender_id or created_at": "sender_id IS NULL OR created_at IS NULL",
        "of no thread": "NOT EXISTS (SELECT FROM chat_threads t WHERE t.id = r.thread_id)",
    },
}
# Columns that get ids of ours, which need not stand in a table of theirs.
WRITTEN = ("order_id", "user_id", "sender_id", "appointment_id", "patient_id", "doctor_id", "pharmacy_id")

# Old rows keep what was said, however long or empty: theirs are the messages whose client_message_id is their id.
ADOPT = {
    "prescriptions": """
ALTER TABLE prescriptions ALTER is_legacy SET DEFAULT false, ALTER notes SET DEFAULT '',
    ALTER created_at SET DEFAULT clock_timestamp(),
    ADD CONSTRAINT adopted_prescriptions_ticket FOREIGN KEY (ticket_id) REFERENCES healthcare_tickets ON DELETE RESTRICT,
    ADD CONSTRAINT adopted_prescriptions_ticket_id UNIQUE (ticket_id),
    ADD CONSTRAINT adopted_prescriptions_linked CHECK (ticket_id IS NOT NULL OR is_legacy);
UPDATE prescriptions SET notes = '' WHERE notes IS NULL;
CREATE INDEX adopted_prescriptions_appointment ON prescriptions (appointment_id);
CREATE INDEX prescriptions_legacy ON prescriptions (id) WHERE is_legacy
""",
    "chat_threads": """
DROP INDEX IF EXISTS idx_chat_threads_ticket_id;
ALTER TABLE chat_threads ALTER is_legacy SET DEFAULT false, ALTER order_type SET DEFAULT 'prescription',
    ALTER created_at SET DEFAULT clock_timestamp(),
    ADD CONSTRAINT adopted_chat_threads_ticket FOREIGN KEY (ticket_id) REFERENCES healthcare_tickets ON DELETE RESTRICT,
    ADD CONSTRAINT adopted_chat_threads_linked CHECK (ticket_id IS NOT NULL OR is_legacy);
UPDATE chat_threads SET order_type = '' WHERE order_type IS NULL;
CREATE UNIQUE INDEX idx_chat_threads_ticket_id ON chat_threads (ticket_id);
CREATE INDEX IF NOT EXISTS idx_chat_threads_order_id ON chat_threads (order_id);
CREATE INDEX chat_threads_legacy ON chat_threads (id) WHERE is_legacy
""",
    "chat_thread_members": """
UPDATE chat_thread_members m SET party_id = m.user_id, joined_at = t.created_at
    FROM chat_threads t WHERE t.id = m.thread_id;
ALTER TABLE chat_thread_members ALTER party_id SET NOT NULL,
    ADD CONSTRAINT adopted_chat_thread_members_thread FOREIGN KEY (thread_id) REFERENCES chat_threads ON DELETE RESTRICT,
    ADD CONSTRAINT adopted_chat_thread_members_party UNIQUE (thread_id, party_id);
CREATE INDEX chat_thread_members_unread ON chat_thread_members (party_id, thread_id) WHERE has_unread;
CREATE INDEX chat_thread_members_waiting ON chat_thread_members (unread_since) WHERE has_unread;
CREATE INDEX adopted_chat_thread_members_of ON chat_thread_members (party_id);
CREATE FUNCTION adopted_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.user_id := NEW.party_id;
    ELSIF NEW.user_id = OLD.party_id AND current_setting('dispatchlog.backfill', true) IS DISTINCT FROM 'on' THEN
        NEW.user_id := NEW.party_id;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER adopted_member BEFORE INSERT OR UPDATE OF party_id ON chat_thread_members
    FOR EACH ROW EXECUTE FUNCTION adopted_member()
""",
    "chat_messages": """
UPDATE chat_messages m SET number = n.number, client_message_id = m.id, body = coalesce({said}, '')
    FROM (SELECT id, row_number() OVER (PARTITION BY thread_id ORDER BY created_at, id) AS number FROM chat_messages) n
    WHERE n.id = m.id;
ALTER TABLE chat_messages ALTER number SET NOT NULL, ALTER client_message_id SET NOT NULL, ALTER body SET NOT NULL,
    ALTER created_at SET DEFAULT clock_timestamp(),
    ADD CONSTRAINT adopted_chat_messages_thread FOREIGN KEY (thread_id) REFERENCES chat_threads ON DELETE RESTRICT,
    ADD CONSTRAINT adopted_chat_messages_number UNIQUE (thread_id, number),
    ADD CONSTRAINT adopted_chat_messages_client UNIQUE (sender_id, client_message_id),
    ADD CONSTRAINT adopted_chat_messages_length CHECK (length(body) <= 8000 OR client_message_id = id),
    ADD CONSTRAINT adopted_chat_messages_empty
        CHECK (body <> '' OR attachments <> '[]' OR client_message_id = id);
UPDATE chat_threads t SET last_number = n.last_number, last_message_at = n.last_message_at
    FROM (SELECT thread_id, max(number) AS last_number, max(created_at) AS last_message_at
        FROM chat_messages GROUP BY thread_id) n
    WHERE n.thread_id = t.id;
-- Nobody noted what was read: what a member answered was, and what is older than thirty days.
UPDATE chat_thread_members m SET read_number = r.read_number, has_unread = r.others_number > r.read_number
    FROM (SELECT d.thread_id, d.party_id,
            coalesce(max(s.number) FILTER (WHERE s.sender_id = d.party_id OR s.created_at < now() - interval '30 days'), 0)
                AS read_number,
            coalesce(max(s.number) FILTER (WHERE s.sender_id <> d.party_id), 0) AS others_number
        FROM chat_thread_members d JOIN chat_messages s ON s.thread_id = d.thread_id GROUP BY d.thread_id, d.party_id) r
    WHERE r.thread_id = m.thread_id AND r.party_id = m.party_id
""",
}
OLD_CONTENT = """
CREATE FUNCTION adopted_message() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.content := NEW.body;
    RETURN NEW;
END $$;
CREATE TRIGGER adopted_message BEFORE INSERT ON chat_messages FOR EACH ROW EXECUTE FUNCTION adopted_message()
"""
ADOPTED = """
CREATE TABLE adopted_tables (
    name varchar(63) PRIMARY KEY,
    added text[] NOT NULL,
    row_security boolean NOT NULL
)
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


def rows(db, sql, *values):
    return db.execute_sql(sql, values or None).fetchall()


def columns_of(db, table):
    """Type, and whether a row may be stored without it, by column."""
    found = rows(
        db,
        "SELECT attname, format_type(atttypid, NULL), NOT attnotnull OR atthasdef OR attidentity <> ''"
        " FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        table,
    )
    return {name: ("text" if kind == "character varying" else kind, spare) for name, kind, spare in found}


def objections_to(db, table, columns):
    """What keeps an upstream service's table from being adopted."""
    wrong = []
    named = EXPECTED[table] | POSSIBLE[table]
    for name, kind in named.items():
        if name in columns and columns[name][0] != kind:
            wrong.append(f"{table}.{name} is {columns[name][0]}, not {kind}")
        elif name in EXPECTED[table] and name not in columns:
            wrong.append(f"{table} has no column {name}")
    for name, (_, spare) in columns.items():
        if name in ADDED_COLUMNS[table] and name not in named:
            wrong.append(f"{table} has a column {name} of its own")
        elif not spare and name not in named:
            wrong.append(f"{table}.{name} must be given and is not known here; give it a default")
    if table == "chat_messages" and not {"body", "content"} & columns.keys():
        wrong.append("chat_messages has neither body nor content")
    return wrong or [*outside_objections(db, table), *row_objections(db, table, columns)]


def outside_objections(db, table):
    """What else is wrong with the table: what it is, who may read it, what its columns must point to."""
    wrong = []
    kind, listed = rows(
        db,
        "SELECT relkind, EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0) FROM pg_class"
        " WHERE oid = to_regclass(%s)",
        table,
    )[0]
    if kind != "r":
        wrong.append(f"{table} is not an ordinary table")
    if listed:
        wrong.append(f"everybody may use {table}; REVOKE ALL ON {table} FROM PUBLIC")
    open_policies = rows(
        db,
        "SELECT polname FROM pg_policy WHERE polrelid = to_regclass(%s) AND 0 = ANY (polroles)",
        table,
    )
    wrong += [f"policy {name} on {table} is for everybody; name the roles it is for" for (name,) in open_policies]
    keys = rows(
        db,
        "SELECT conname, attname FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)"
        " WHERE conrelid = to_regclass(%s) AND contype = 'f' AND attname = ANY (%s)",
        table,
        list(WRITTEN),
    )
    wrong += [
        f"{table}.{column} refers to a table without our ids; ALTER TABLE {table} DROP CONSTRAINT {name}"
        for name, column in keys
    ]
    if "id" in EXPECTED[table] and not rows(
        db,
        "SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]"
        " WHERE indrelid = to_regclass(%s) AND indisprimary AND indnkeyatts = 1 AND attname = 'id'",
        table,
    ):
        wrong.append(f"{table} has not id as its primary key")
    return wrong


def row_objections(db, table, columns):
    wrong = []
    tests = UNFIT[table] | ({"with a ticket_id already": "ticket_id IS NOT NULL"} if "ticket_id" in columns else {})
    for what, condition in tests.items():
        count = rows(db, f"SELECT count(*) FROM {table} r WHERE {condition}")[0][0]
        if count:
            wrong.append(f"{count} rows of {table} {what}")
    return wrong


def old_tables(db):
    """The tables to adopt, with their columns; refused as a whole where one is not as expected."""
    here = "SELECT to_regclass(quote_ident(current_schema()) || '.' || %s) IS NOT NULL"
    old = {name: columns_of(db, name) for name in CONVERSATIONS if rows(db, here, name)[0][0]}
    ours = re.findall(r"CREATE TABLE (\w+)", TICKETS + ITEMS + REST)
    wrong = [f"there is a table {name} already" for name in ours if rows(db, here, name)[0][0]]
    threads = [name for name in CONVERSATIONS if name.startswith("chat_")]
    if old.keys() & set(threads) and not old.keys() >= set(threads):
        wrong.append(f"of {', '.join(threads)} there must be all or none")
    for name, columns in () if wrong else old.items():
        wrong += objections_to(db, name, columns)
    if wrong:
        raise MigrationError(
            f"the tables that are there cannot be adopted: {'; '.join(wrong)} (docs/tickets-migration.md)"
        )
    return old


def triggers_of(db, tables):
    """The triggers of an upstream service, which are not to hear of the adoption."""
    return rows(
        db,
        "SELECT tgrelid::regclass::text, quote_ident(tgname) FROM pg_trigger"
        " WHERE tgrelid = ANY (%s::regclass[]) AND NOT tgisinternal AND tgenabled = 'O'",
        list(tables),
    )


def adopt(db, table, columns):
    """Add to an upstream service's table what is ours."""
    added = {name: kind for name, kind in ADDED_COLUMNS[table].items() if name not in columns}
    clauses = ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in added.items())
    db.execute_sql(f"ALTER TABLE {table} {clauses}")
    db.execute_sql(ADOPT[table].format(said="m.body" if "body" in columns else "m.content"))
    if table == "chat_messages" and "body" not in columns:
        db.execute_sql(OLD_CONTENT)
    db.execute_sql(
        "INSERT INTO adopted_tables SELECT %s, %s, relrowsecurity FROM pg_class WHERE oid = to_regclass(%s)",
        (table, list(added), table),
    )


def give_back(db, table, added):
    """Take from an adopted table what is ours; rows that came since stay in it."""
    for (name,) in rows(
        db,
        "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname LIKE 'adopted%%'",
        table,
    ):
        db.execute_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    db.execute_sql(f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {name}' for name in added)}")


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    role = migration_role()
    old = old_tables(db)
    triggers = triggers_of(db, old)
    if old:
        db.execute_sql("SET CONSTRAINTS ALL IMMEDIATE")
        db.execute_sql(ADOPTED)
    for table, trigger in triggers:
        db.execute_sql(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    db.execute_sql(TICKETS.format(role=role))
    for name, create in CONVERSATIONS.items():
        if name in old:
            adopt(db, name, old[name])
        else:
            db.execute_sql(create.format(role=role))
    for table, trigger in triggers:
        db.execute_sql(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")
    db.execute_sql(ITEMS.format(role=role))
    db.execute_sql(REST.format(role=role))
    db.execute_sql(ROLES)
    db.execute_sql(CHANGE.format(scopes=f"{SCOPES},{ADDED}"))


def down(migrator, db):
    db.execute_sql("ALTER TABLE bulk_runs DROP lanes")
    db.execute_sql("ALTER TABLE dispatch_replays DROP lanes")
    db.execute_sql("DELETE FROM dispatch_lanes WHERE lane = 'ticket_notification'")
    db.execute_sql(
        "DROP TABLE ticket_notifications, ticket_backfill_findings, ticket_changes, emergency_accesses, ticket_timeline,"
        " prescription_drafts"
    )
    db.execute_sql("DROP FUNCTION IF EXISTS adopted_member, adopted_message CASCADE")
    adopted = {}
    if rows(db, "SELECT to_regclass('adopted_tables') IS NOT NULL")[0][0]:
        adopted = dict(rows(db, "SELECT name, added FROM adopted_tables"))
        db.execute_sql("DROP TABLE adopted_tables")
    for name in ("chat_messages", "chat_thread_members", "chat_threads", "prescription_items", "prescriptions"):
        if name in adopted:
            give_back(db, name, adopted[name])
        else:
            db.execute_sql(f"DROP TABLE {name}")
    db.execute_sql("DROP INDEX IF EXISTS adopted_prescriptions_appointment")
    db.execute_sql("DROP TABLE healthcare_tickets, care_people, care_parties")
    db.execute_sql(NO_ROLES)
    db.execute_sql(FORGET.format(added=ADDED))
    db.execute_sql(CHANGE.format(scopes=SCOPES))
