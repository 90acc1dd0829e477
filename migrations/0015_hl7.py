"""Lanes divided into routes; schools, their endpoints, visits, and the HL7 messages that visits make."""

# What a lane divided into routes has besides: several rows of one ordering key may be on their way in one run, and a run is
# found by its route.
DIVIDE = r"""
CREATE FUNCTION dispatchlog_divide_lane(target regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    one_per_key text;
    columns text;
BEGIN
    SELECT indexrelid::regclass::text INTO STRICT one_per_key FROM pg_index
        WHERE indrelid = target AND indisunique AND indpred IS NOT NULL AND indnkeyatts = 1
          AND pg_get_indexdef(indexrelid, 1, true) = 'ordering_key';
    EXECUTE 'DROP INDEX ' || one_per_key;
    FOREACH columns IN ARRAY ARRAY[
        $i$(route, seq) WHERE status = 'PENDING'$i$,
        $i$(route, due_at) WHERE status = 'PENDING'$i$,
        $i$(route) WHERE status = 'QUEUED'$i$,
        $i$(stale_at) WHERE status = 'PENDING' AND stale_at IS NOT NULL$i$,
        $i$(route, seq) WHERE status IN ('PENDING', 'FAILED')$i$,
        $i$(route, status, in_doubt, updated_at, id) WHERE seq > 0 AND status <> 'QUEUED'$i$,
        $i$(route, last_error_code, updated_at, id) WHERE status = 'FAILED' AND NOT in_doubt$i$,
        $i$(ordering_key, seq) WHERE status IN ('PENDING', 'FAILED') AND ordering_key IS NOT NULL$i$
    ] LOOP
        EXECUTE format('CREATE INDEX ON %s %s', target, columns);
    END LOOP;
END $$;
"""

TABLES = """
CREATE TABLE schools (
    id uuid PRIMARY KEY,
    code varchar(40) NOT NULL UNIQUE CHECK (code ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'),
    name varchar(255) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE hl7_endpoints (
    school_id uuid PRIMARY KEY REFERENCES schools (id) ON DELETE RESTRICT,
    enabled boolean NOT NULL DEFAULT false,
    transport varchar(8) NOT NULL DEFAULT 'MLLP' CHECK (transport IN ('MLLP', 'HTTPS')),
    host varchar(255) NOT NULL DEFAULT '',
    port integer NOT NULL DEFAULT 2575 CHECK (port BETWEEN 1 AND 65535),
    url varchar(2048) NOT NULL DEFAULT '',
    tls boolean NOT NULL DEFAULT true,
    server_name varchar(255) NOT NULL DEFAULT '',
    ca_pem text NOT NULL DEFAULT '',
    client_certificate_pem text NOT NULL DEFAULT '',
    client_key_sealed bytea,
    api_key_sealed bytea,
    api_key_header varchar(64) NOT NULL DEFAULT 'X-API-Key',
    sending_application varchar(227) NOT NULL DEFAULT 'DISPATCHLOG',
    sending_facility varchar(227) NOT NULL DEFAULT '',
    receiving_application varchar(227) NOT NULL DEFAULT '',
    receiving_facility varchar(227) NOT NULL DEFAULT '',
    patient_authority varchar(227) NOT NULL DEFAULT '',
    national_authority varchar(227) NOT NULL DEFAULT '',
    visit_authority varchar(227) NOT NULL DEFAULT '',
    message_type_form varchar(8) NOT NULL DEFAULT 'FULL' CHECK (message_type_form IN ('FULL', 'SHORT')),
    control_id_length smallint NOT NULL DEFAULT 20 CHECK (control_id_length BETWEEN 12 AND 20),
    processing_id varchar(1) NOT NULL DEFAULT 'P' CHECK (processing_id IN ('P', 'T', 'D')),
    acknowledgements jsonb NOT NULL DEFAULT '{{}}',
    messages jsonb NOT NULL DEFAULT '{{}}',
    rate_per_second double precision DEFAULT 1 CHECK (rate_per_second > 0),
    batch smallint NOT NULL DEFAULT 10 CHECK (batch BETWEEN 1 AND 1000),
    max_retries smallint NOT NULL DEFAULT 5 CHECK (max_retries BETWEEN 0 AND 100),
    first_retry_seconds double precision NOT NULL DEFAULT 30 CHECK (first_retry_seconds > 0),
    dedupes boolean NOT NULL DEFAULT true,
    in_line boolean NOT NULL DEFAULT false,
    deadline_seconds double precision NOT NULL DEFAULT 15 CHECK (deadline_seconds BETWEEN 0.1 AND 120),
    connect_seconds double precision NOT NULL DEFAULT 5 CHECK (connect_seconds BETWEEN 0.1 AND 60),
    idle_seconds double precision NOT NULL DEFAULT 60 CHECK (idle_seconds BETWEEN 0 AND 3600),
    max_reply_bytes integer NOT NULL DEFAULT 65536 CHECK (max_reply_bytes BETWEEN 256 AND 16777216),
    version integer NOT NULL DEFAULT 1,
    updated_by varchar(128) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE visits (
    id uuid PRIMARY KEY,
    school_id uuid NOT NULL REFERENCES schools (id) ON DELETE RESTRICT,
    number varchar(20) NOT NULL,
    kind varchar(16) NOT NULL
        CHECK (kind IN ('REGISTRATION', 'UPDATE', 'ASSESSMENT', 'IMMUNISATION', 'APPOINTMENT', 'PROBLEM')),
    visited_at timestamptz NOT NULL,
    student_number varchar(64) NOT NULL,
    student_name varchar(255) NOT NULL,
    record jsonb NOT NULL,
    record_sha256 bytea NOT NULL,
    warnings text[] NOT NULL DEFAULT '{{}}',
    source varchar(128) NOT NULL,
    trace_id varchar(64) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON visits (school_id, student_number);
CREATE INDEX ON visits (created_at);
CREATE TABLE hl7_messages (
    LIKE dispatch_template INCLUDING ALL,
    route varchar(64) NOT NULL,
    stale_at timestamptz,
    visit_id uuid REFERENCES visits (id) ON DELETE RESTRICT,
    school_id uuid NOT NULL REFERENCES schools (id) ON DELETE RESTRICT,
    message_type varchar(16) NOT NULL,
    control_id varchar(20) NOT NULL UNIQUE,
    body bytea NOT NULL,
    student_number varchar(64) NOT NULL,
    student_name varchar(255) NOT NULL,
    replaces_id uuid,
    written_by varchar(128) NOT NULL DEFAULT ''
);
CREATE INDEX ON hl7_messages (visit_id);
CREATE INDEX ON hl7_messages (seq);
CREATE INDEX ON hl7_messages (status, seq);
CREATE INDEX ON hl7_messages (school_id, seq);
CREATE INDEX ON hl7_messages (school_id, status, seq);
CREATE INDEX ON hl7_messages (created_at);
CREATE INDEX ON hl7_messages (replaces_id) WHERE replaces_id IS NOT NULL;
SELECT dispatchlog_divide_lane('hl7_messages');
SELECT dispatchlog_install_lane('hl7_messages', 'hl7', fixed =>
    '{{route,visit_id,school_id,message_type,control_id,body,student_number,student_name,replaces_id,written_by}}');
"""

GRANTS = """
GRANT SELECT, INSERT ON visits TO {role};
GRANT SELECT, INSERT, UPDATE ON schools, hl7_endpoints TO {role};
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role, migration_schema

    names = {"role": migration_role(), "schema": migration_schema(db)}
    db.execute_sql(DIVIDE.format(**names).replace("%", "%%"))
    db.execute_sql(TABLES.format(**names))
    db.execute_sql("SELECT dispatchlog_append_only('visits')")
    db.execute_sql(GRANTS.format(**names))


def down(migrator, db):
    db.execute_sql("DELETE FROM dispatch_lanes WHERE lane = 'hl7'")
    db.execute_sql("DROP TABLE hl7_messages, visits, hl7_endpoints, schools")
    db.execute_sql("DROP FUNCTION dispatchlog_divide_lane")
