"""Patients and how they may be reached, templates, the lane of messages to them, what providers and patients answer."""

PURPOSES = "('appt_confirm', 'appt_reminder', 'no_show', 'rx_refill', 'lab_ready', 'campaign_education', 'urgent')"
CHANNELS = "('email', 'sms', 'whatsapp')"

# What may be said at every level: by the patient, for a provider's patients, for an organisation's, for all.
LEVEL = """
    timezone varchar(50),
    language varchar(10),
    quiet_start time,
    quiet_end time,
    work_start time,
    work_end time,
    best_hour smallint CHECK (best_hour BETWEEN 0 AND 23),
    allow_email boolean,
    allow_sms boolean,
    allow_whatsapp boolean,
"""

TABLES = """
CREATE TABLE comm_organizations (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL CHECK (name <> ''),
    phone varchar(32) NOT NULL DEFAULT '',
    country varchar(2) NOT NULL DEFAULT '' CHECK (country ~ '^([A-Z]{{2}})?$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE comm_providers (
    id uuid PRIMARY KEY,
    organization_id uuid REFERENCES comm_organizations (id) ON DELETE RESTRICT,
    name varchar(255) NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON comm_providers (organization_id);
CREATE TABLE patients (
    id uuid PRIMARY KEY,
    organization_id uuid REFERENCES comm_organizations (id) ON DELETE RESTRICT,
    provider_id uuid REFERENCES comm_providers (id) ON DELETE RESTRICT,
    name_sealed bytea NOT NULL,
    email_sealed bytea,
    phone_sealed bytea,
    country varchar(2) NOT NULL DEFAULT '' CHECK (country ~ '^([A-Z]{{2}})?$'),
    region varchar(16) NOT NULL DEFAULT '',
    timezone varchar(50),
    language varchar(10),
    active boolean NOT NULL DEFAULT true,
    version bigint NOT NULL DEFAULT 1,
    reported_at timestamptz NOT NULL DEFAULT now(),
    source varchar(128) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON patients (organization_id);
CREATE INDEX ON patients (provider_id);
CREATE INDEX ON patients (created_at, id);
CREATE TABLE patient_names (
    patient_id uuid NOT NULL REFERENCES patients (id) ON DELETE RESTRICT,
    word_hash bytea NOT NULL,
    PRIMARY KEY (word_hash, patient_id)
);
CREATE INDEX ON patient_names (patient_id);
CREATE TABLE patient_comm_prefs (
    id uuid PRIMARY KEY,
    patient_id uuid NOT NULL UNIQUE REFERENCES patients (id) ON DELETE RESTRICT,
    {level}
    marketing_opt_in_email boolean NOT NULL DEFAULT false,
    marketing_opt_in_sms boolean NOT NULL DEFAULT false,
    marketing_opt_in_whatsapp boolean NOT NULL DEFAULT false,
    email_address bytea,
    sms_number bytea,
    whatsapp_number bytea,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE comm_pref_defaults (
    id uuid PRIMARY KEY,
    level varchar(16) NOT NULL CHECK (level IN ('provider', 'organization', 'global')),
    owner_id uuid,
    {level}
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((level = 'global') = (owner_id IS NULL))
);
CREATE UNIQUE INDEX comm_pref_defaults_of ON comm_pref_defaults (level, coalesce(owner_id, '{nobody}'::uuid));
INSERT INTO comm_pref_defaults (id, level, timezone, language, quiet_start, quiet_end, work_start, work_end, allow_email,
    allow_sms, allow_whatsapp)
VALUES (gen_random_uuid(), 'global', 'America/New_York', 'en', '22:00', '08:00', '09:00', '17:00', true, true, false);
CREATE TABLE comm_addresses (
    patient_id uuid NOT NULL REFERENCES patients (id) ON DELETE RESTRICT,
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    address_hash bytea NOT NULL,
    PRIMARY KEY (patient_id, channel)
);
CREATE INDEX ON comm_addresses (channel, address_hash);
CREATE TABLE comm_stops (
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    address_hash bytea NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    source varchar(32) NOT NULL,
    PRIMARY KEY (channel, address_hash)
);
CREATE TABLE comm_consents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id uuid REFERENCES patients (id) ON DELETE RESTRICT,
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    purpose_class varchar(16) NOT NULL CHECK (purpose_class IN ('all', 'marketing')),
    given boolean NOT NULL,
    address_hash bytea,
    wording text NOT NULL DEFAULT '',
    wording_version varchar(64) NOT NULL DEFAULT '',
    language varchar(10) NOT NULL DEFAULT '',
    source varchar(32) NOT NULL,
    actor varchar(128) NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{{}}',
    ip_address varchar(45),
    user_agent text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (patient_id IS NOT NULL OR address_hash IS NOT NULL)
);
CREATE INDEX ON comm_consents (patient_id, id);
CREATE INDEX ON comm_consents (channel, address_hash, id);

CREATE TABLE comm_templates (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL CHECK (name <> ''),
    purpose varchar(32) NOT NULL CHECK (purpose IN {purposes}),
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    language varchar(10) NOT NULL DEFAULT 'en',
    subject varchar(255),
    body text NOT NULL,
    variables jsonb NOT NULL DEFAULT '[]',
    variants jsonb NOT NULL DEFAULT '[]',
    provider_template jsonb NOT NULL DEFAULT '{{}}',
    is_marketing boolean NOT NULL DEFAULT false,
    organization_id uuid REFERENCES comm_organizations (id) ON DELETE RESTRICT,
    provider_id uuid REFERENCES comm_providers (id) ON DELETE RESTRICT,
    is_active boolean NOT NULL DEFAULT true,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (organization_id IS NULL OR provider_id IS NULL),
    CHECK ((channel = 'email') = (subject IS NOT NULL))
);
CREATE INDEX ON comm_templates (purpose, channel);
CREATE INDEX ON comm_templates (organization_id);
CREATE INDEX ON comm_templates (provider_id);
-- Of what is active there is one for each purpose, channel, language and level.
CREATE UNIQUE INDEX comm_templates_active ON comm_templates (purpose, channel, language,
    coalesce(organization_id, '{nobody}'::uuid), coalesce(provider_id, '{nobody}'::uuid)) WHERE is_active;
CREATE TABLE comm_template_versions (
    template_id uuid NOT NULL REFERENCES comm_templates (id) ON DELETE RESTRICT,
    version integer NOT NULL CHECK (version > 0),
    subject varchar(255),
    body text NOT NULL,
    variables jsonb NOT NULL DEFAULT '[]',
    variants jsonb NOT NULL DEFAULT '[]',
    provider_template jsonb NOT NULL DEFAULT '{{}}',
    note varchar(500) NOT NULL DEFAULT '',
    written_by varchar(128) NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (template_id, version)
);

CREATE TABLE comm_appointments (
    id uuid PRIMARY KEY,
    patient_id uuid NOT NULL REFERENCES patients (id) ON DELETE RESTRICT,
    provider_id uuid REFERENCES comm_providers (id) ON DELETE RESTRICT,
    starts_at timestamptz NOT NULL,
    timezone varchar(50) NOT NULL DEFAULT '',
    place varchar(255) NOT NULL DEFAULT '',
    status varchar(24) NOT NULL DEFAULT 'scheduled' CHECK (status IN
        ('scheduled', 'confirmed', 'reschedule_requested', 'cancelled', 'completed', 'no_show')),
    confirmed_at timestamptz,
    confirmed_by varchar(128),
    version bigint NOT NULL DEFAULT 1,
    reported_at timestamptz NOT NULL DEFAULT now(),
    source varchar(128) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON comm_appointments (patient_id, starts_at);
CREATE INDEX ON comm_appointments (provider_id);
CREATE INDEX ON comm_appointments (starts_at, id);
CREATE TABLE comm_core_events (
    source varchar(128) NOT NULL,
    event_id varchar(128) NOT NULL,
    kind varchar(64) NOT NULL,
    subject_id uuid,
    occurred_at timestamptz,
    document_sha256 bytea NOT NULL,
    effect jsonb NOT NULL DEFAULT '{{}}',
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, event_id)
);
CREATE INDEX ON comm_core_events (subject_id, received_at);

CREATE TABLE comm_jobs (
    LIKE dispatch_template INCLUDING ALL,
    route varchar(64) NOT NULL,
    patient_id uuid NOT NULL REFERENCES patients (id) ON DELETE RESTRICT,
    template_id uuid NOT NULL REFERENCES comm_templates (id) ON DELETE RESTRICT,
    template_version integer NOT NULL,
    campaign_id uuid,
    appointment_id uuid REFERENCES comm_appointments (id) ON DELETE RESTRICT,
    organization_id uuid,
    provider_id uuid,
    purpose varchar(50) NOT NULL CHECK (purpose IN {purposes}),
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    language varchar(10) NOT NULL,
    is_marketing boolean NOT NULL DEFAULT false,
    recipient varchar(255) NOT NULL,
    recipient_hash bytea,
    subject varchar(255),
    body text NOT NULL,
    provider_template jsonb NOT NULL DEFAULT '{{}}',
    variables jsonb NOT NULL DEFAULT '{{}}',
    preferences_link varchar(512) NOT NULL DEFAULT '',
    scheduled_at timestamptz NOT NULL,
    is_urgent boolean NOT NULL DEFAULT false,
    ab_variant varchar(50),
    decision jsonb NOT NULL,
    asks varchar(24) NOT NULL DEFAULT '' CHECK (asks IN ('', 'confirmation')),
    answered_at timestamptz,
    fallback_of uuid,
    fallback_decided_at timestamptz,
    delivered_at timestamptz,
    opened_at timestamptz,
    clicked_at timestamptz,
    replied_at timestamptz,
    bounced_at timestamptz,
    bounce_code varchar(64),
    unsubscribed_at timestamptz,
    request_key varchar(255) UNIQUE,
    request_sha256 bytea
);
CREATE INDEX ON comm_jobs (patient_id, status);
CREATE INDEX ON comm_jobs (patient_id, scheduled_at, id);
CREATE INDEX ON comm_jobs (scheduled_at, status);
CREATE INDEX ON comm_jobs (provider_message_id) WHERE provider_message_id IS NOT NULL;
CREATE INDEX ON comm_jobs (campaign_id) WHERE campaign_id IS NOT NULL;
CREATE INDEX ON comm_jobs (appointment_id) WHERE appointment_id IS NOT NULL;
CREATE INDEX ON comm_jobs (route, due_at) WHERE status = 'PENDING';
CREATE INDEX ON comm_jobs (channel, recipient_hash, sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX comm_jobs_open ON comm_jobs (channel, recipient_hash) WHERE status IN ('PENDING', 'QUEUED');
CREATE INDEX comm_jobs_undecided ON comm_jobs (updated_at) WHERE fallback_decided_at IS NULL AND NOT in_doubt
    AND (status = 'FAILED' OR bounced_at IS NOT NULL);
CREATE INDEX comm_jobs_by_route ON comm_jobs (route, status, in_doubt, updated_at, id) WHERE seq > 0 AND status <> 'QUEUED';
CREATE INDEX comm_jobs_failures ON comm_jobs (route, last_error_code, updated_at, id)
    WHERE status = 'FAILED' AND NOT in_doubt;
CREATE INDEX comm_jobs_bounced ON comm_jobs (bounced_at, id) WHERE bounced_at IS NOT NULL;
CREATE INDEX comm_jobs_fallback ON comm_jobs (fallback_of) WHERE fallback_of IS NOT NULL;
SELECT dispatchlog_install_lane('comm_jobs', 'comm_job',
    fixed => '{{patient_id,template_id,template_version,campaign_id,appointment_id,organization_id,provider_id,'
        'purpose,channel,language,is_marketing,subject,body,provider_template,variables,preferences_link,scheduled_at,is_urgent,'
        'ab_variant,decision,fallback_of,request_key,request_sha256}}',
    mutable => '{{answered_at,fallback_decided_at,delivered_at,opened_at,clicked_at,replied_at,bounced_at,bounce_code,'
        'unsubscribed_at}}');

CREATE TABLE comm_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider varchar(16) NOT NULL CHECK (provider IN ('sendgrid', 'twilio', 'whatsapp')),
    event_key varchar(128) NOT NULL,
    source varchar(16) NOT NULL CHECK (source IN ('native', 'generic')),
    provider_message_id varchar(255) NOT NULL DEFAULT '',
    job_id uuid,
    raw_status varchar(64) NOT NULL,
    status varchar(16),
    code varchar(64) NOT NULL DEFAULT '',
    occurred_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body jsonb NOT NULL DEFAULT '{{}}',
    trace_id varchar(64) NOT NULL DEFAULT '',
    applied_at timestamptz,
    effect varchar(16) CHECK (effect IN ('MOVED', 'NOTED', 'BEHIND', 'UNKNOWN', 'UNMATCHED')),
    UNIQUE (provider, event_key),
    CHECK ((applied_at IS NULL) = (effect IS NULL))
);
CREATE INDEX comm_events_open ON comm_events (id) WHERE applied_at IS NULL;
CREATE INDEX comm_events_withdrawals ON comm_events (id) WHERE applied_at IS NULL
    AND (raw_status IN ('spamreport', 'unsubscribe', 'group_unsubscribe')
        OR code IN ('21610', 'SPAM_REPORTING_ADDRESS', 'UNSUBSCRIBED_ADDRESS', '131050'));
CREATE INDEX comm_events_unmatched ON comm_events (received_at) WHERE effect = 'UNMATCHED';
CREATE INDEX ON comm_events (job_id, id) WHERE job_id IS NOT NULL;
CREATE INDEX ON comm_events (provider, received_at);
CREATE TABLE comm_inbound (
    id uuid PRIMARY KEY,
    patient_id uuid REFERENCES patients (id) ON DELETE RESTRICT,
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    from_address varchar(255) NOT NULL,
    to_address varchar(255) NOT NULL,
    body text NOT NULL,
    intent varchar(16) CHECK (intent IN ('confirm', 'reschedule', 'stop', 'start', 'help', 'other')),
    confidence double precision,
    language varchar(10),
    related_job_id uuid REFERENCES comm_jobs (id) ON DELETE RESTRICT,
    provider varchar(16) NOT NULL,
    provider_message_id varchar(255) NOT NULL DEFAULT '',
    event_key varchar(128) NOT NULL,
    source varchar(16) NOT NULL CHECK (source IN ('native', 'generic')),
    sent_at timestamptz,
    parsed_at timestamptz,
    action varchar(32) NOT NULL DEFAULT '',
    waits_for_person boolean NOT NULL DEFAULT false,
    processed boolean NOT NULL DEFAULT false,
    processed_at timestamptz,
    processed_by varchar(128),
    note varchar(500) NOT NULL DEFAULT '',
    trace_id varchar(64) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (provider, event_key),
    CHECK (processed = (processed_at IS NOT NULL))
);
CREATE INDEX ON comm_inbound (patient_id, channel);
CREATE INDEX ON comm_inbound (patient_id, created_at);
CREATE INDEX ON comm_inbound (processed, created_at, id);
CREATE INDEX ON comm_inbound (provider_message_id);
CREATE INDEX ON comm_inbound (related_job_id) WHERE related_job_id IS NOT NULL;
CREATE INDEX ON comm_inbound (channel, from_address, created_at);
CREATE INDEX comm_inbound_unread ON comm_inbound (channel, from_address) WHERE parsed_at IS NULL;
CREATE INDEX comm_inbound_open ON comm_inbound (created_at) WHERE parsed_at IS NULL;
CREATE INDEX comm_inbound_waiting ON comm_inbound (created_at, id) WHERE waits_for_person AND NOT processed;
CREATE TABLE comm_reschedule_requests (
    id uuid PRIMARY KEY,
    appointment_id uuid NOT NULL REFERENCES comm_appointments (id) ON DELETE RESTRICT,
    patient_id uuid NOT NULL REFERENCES patients (id) ON DELETE RESTRICT,
    inbound_id uuid REFERENCES comm_inbound (id) ON DELETE RESTRICT,
    status varchar(16) NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'handled')),
    handled_by varchar(128),
    handled_at timestamptz,
    note varchar(500) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'handled') = (handled_at IS NOT NULL))
);
CREATE UNIQUE INDEX comm_reschedule_requests_open ON comm_reschedule_requests (appointment_id) WHERE status = 'open';
CREATE INDEX ON comm_reschedule_requests (status, created_at);
CREATE INDEX ON comm_reschedule_requests (patient_id);
CREATE INDEX ON comm_reschedule_requests (inbound_id);
CREATE TABLE comm_portal_tokens (
    id uuid PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    kind varchar(16) NOT NULL CHECK (kind IN ('message', 'preferences')),
    patient_id uuid NOT NULL REFERENCES patients (id) ON DELETE RESTRICT,
    job_id uuid,
    channel varchar(16) CHECK (channel IN {channels}),
    marketing boolean NOT NULL DEFAULT false,
    content_sealed bytea,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    first_opened_at timestamptz,
    opens integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON comm_portal_tokens (patient_id, created_at);
CREATE INDEX ON comm_portal_tokens (job_id) WHERE job_id IS NOT NULL;
CREATE TABLE comm_audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id uuid REFERENCES patients (id) ON DELETE RESTRICT,
    user_id integer,
    action varchar(24) NOT NULL CHECK (action IN
        ('send', 'receive', 'opt_out', 'opt_in', 'preference_change', 'access')),
    actor varchar(128) NOT NULL,
    details jsonb NOT NULL DEFAULT '{{}}',
    ip_address varchar(45),
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON comm_audit_log (patient_id, action);
CREATE INDEX ON comm_audit_log (patient_id, id);
CREATE INDEX ON comm_audit_log (created_at);
"""

# The one word that the API has for a message: how its sending stands, and once it is sent the most that was heard of it.
VIEW = """
CREATE FUNCTION comm_job_word(status text, replied_at timestamptz, clicked_at timestamptz, opened_at timestamptz,
    bounced_at timestamptz, delivered_at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE status
    WHEN 'PENDING' THEN 'queued'
    WHEN 'QUEUED' THEN 'processing'
    WHEN 'FAILED' THEN 'failed'
    WHEN 'CANCELLED' THEN 'cancelled'
    ELSE CASE
        WHEN replied_at IS NOT NULL THEN 'replied'
        WHEN clicked_at IS NOT NULL THEN 'clicked'
        WHEN opened_at IS NOT NULL THEN 'opened'
        WHEN bounced_at IS NOT NULL THEN 'bounced'
        WHEN delivered_at IS NOT NULL THEN 'delivered'
        ELSE 'sent' END
    END;
CREATE VIEW comm_job_records AS
SELECT id, patient_id, template_id, campaign_id, purpose, channel, recipient, subject, body, variables, scheduled_at,
    sent_at, comm_job_word(status, replied_at, clicked_at, opened_at, bounced_at, delivered_at) AS status,
    provider_message_id, last_error AS error_message, attempts AS retry_count, is_urgent, ab_variant, created_at, updated_at
FROM comm_jobs;
"""

APPEND_ONLY = ("comm_consents", "comm_template_versions", "comm_audit_log", "comm_core_events")

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON comm_organizations, comm_providers, patients, patient_comm_prefs, comm_pref_defaults,
    comm_addresses, comm_templates, comm_appointments, comm_reschedule_requests, comm_portal_tokens TO {role};
GRANT SELECT, INSERT, DELETE ON comm_stops, patient_names, comm_addresses TO {role};
GRANT UPDATE (stopped_at) ON comm_stops TO {role};
GRANT SELECT, INSERT ON comm_consents, comm_template_versions, comm_audit_log, comm_core_events TO {role};
GRANT SELECT, INSERT, UPDATE (job_id, applied_at, effect) ON comm_events TO {role};
GRANT SELECT, INSERT, UPDATE (patient_id, intent, confidence, language, related_job_id, parsed_at, action, waits_for_person,
    processed, processed_at, processed_by, note) ON comm_inbound TO {role};
GRANT SELECT ON comm_job_records TO {role};
"""

ROLES = """
UPDATE staff_roles SET permissions = permissions || '{outreach}' WHERE name IN ('viewer', 'support', 'auditor', 'admin');
UPDATE staff_roles SET permissions = permissions || '{reach}' WHERE name IN ('support', 'admin');
UPDATE staff_roles SET permissions = permissions || '{templates}' WHERE name = 'admin';
"""
NO_ROLES = """
UPDATE staff_roles SET permissions =
    array_remove(array_remove(array_remove(permissions, 'outreach'), 'reach'), 'templates');
"""

SCOPES = (
    "orders:write,orders:read,dispatches:read,dispatches:act,dispatches:control,visits:write,visits:read,hl7:retry,"
    "pharmacy:write,pharmacy:read,pharmacy:act,tickets:people"
)
ADDED = "comm:write,comm:read,comm:contact,comm:manage"
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
    nobody = "00000000-0000-0000-0000-000000000000"
    names = {"level": LEVEL.strip(), "purposes": PURPOSES, "channels": CHANNELS, "nobody": nobody}
    db.execute_sql(TABLES.format(**names))
    db.execute_sql(VIEW)
    for table in APPEND_ONLY:
        db.execute_sql("SELECT dispatchlog_append_only(%s)", (table,))
    db.execute_sql(GRANTS.format(role=role))
    db.execute_sql(ROLES)
    db.execute_sql(CHANGE.format(scopes=f"{SCOPES},{ADDED}"))


def down(migrator, db):
    db.execute_sql("DROP VIEW comm_job_records")
    db.execute_sql("DROP FUNCTION comm_job_word")
    db.execute_sql("DELETE FROM dispatch_lanes WHERE lane = 'comm_job'")
    db.execute_sql(
        "DROP TABLE comm_audit_log, comm_portal_tokens, comm_reschedule_requests, comm_inbound, comm_events, comm_jobs,"
        " comm_core_events, comm_appointments, comm_template_versions, comm_templates, comm_consents, comm_stops,"
        " comm_addresses, comm_pref_defaults, patient_comm_prefs, patient_names, patients, comm_providers,"
        " comm_organizations"
    )
    db.execute_sql(NO_ROLES)
    db.execute_sql(FORGET.format(added=ADDED))
    db.execute_sql(CHANGE.format(scopes=SCOPES))
