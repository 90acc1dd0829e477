"""Segments of patients, campaigns, figures of messages, and what the optimiser learns."""

NOBODY = "00000000-0000-0000-0000-000000000000"
CHANNELS = "('email', 'sms', 'whatsapp')"

# Whatever is drawn for a patient (a share of them, a variant, the hold-out) is drawn the same way by whoever asks:
# `dispatchlog.systems.outreach.buckets` says the same in Python. 0 to 9,999.
BUCKET = """
CREATE FUNCTION comm_bucket(id uuid, salt text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
RETURN (('x' || encode(substring(sha256(uuid_send(id) || convert_to(salt, 'UTF8')) FROM 1 FOR 4), 'hex'))::bit(32)::bigint
    % 10000)::integer;
"""

TABLES = """
ALTER TABLE patients
    ADD COLUMN birth_date date,
    ADD COLUMN gender varchar(16) NOT NULL DEFAULT '' CHECK (gender IN ('', 'male', 'female', 'other', 'unknown')),
    ADD COLUMN tags text[] NOT NULL DEFAULT '{{}}';

-- Texts of one family hold for the campaigns that name it, and only for them; '' is what holds everywhere else.
ALTER TABLE comm_templates ADD COLUMN family varchar(64) NOT NULL DEFAULT '';
DROP INDEX comm_templates_active;
CREATE UNIQUE INDEX comm_templates_active ON comm_templates (purpose, channel, language, family,
    coalesce(organization_id, '{nobody}'::uuid), coalesce(provider_id, '{nobody}'::uuid)) WHERE is_active;

CREATE TABLE patient_segments (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL CHECK (name <> ''),
    description text NOT NULL DEFAULT '',
    rules jsonb NOT NULL,
    organization_id uuid REFERENCES comm_organizations (id) ON DELETE RESTRICT,
    created_by varchar(128) NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    last_evaluated timestamptz,
    patient_count integer NOT NULL DEFAULT 0,
    evaluation_ms integer,
    too_slow_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON patient_segments (organization_id);
CREATE INDEX ON patient_segments (is_active);
CREATE UNIQUE INDEX patient_segments_name ON patient_segments (coalesce(organization_id, '{nobody}'::uuid), lower(name))
    WHERE is_active;

CREATE TABLE comm_campaigns (
    id uuid PRIMARY KEY,
    name varchar(255) NOT NULL CHECK (name <> ''),
    description text NOT NULL DEFAULT '',
    segment_id uuid NOT NULL REFERENCES patient_segments (id) ON DELETE RESTRICT,
    steps jsonb NOT NULL DEFAULT '[]',
    ab_variants jsonb NOT NULL DEFAULT '{{}}',
    frequency jsonb NOT NULL DEFAULT '{{}}',
    exit_rules jsonb NOT NULL DEFAULT '[]',
    overlap varchar(16) NOT NULL DEFAULT 'refuse' CHECK (overlap IN ('refuse', 'exclude', 'allow')),
    language_fallback boolean NOT NULL DEFAULT false,
    control_percent smallint NOT NULL DEFAULT 0 CHECK (control_percent BETWEEN 0 AND 50),
    timezone varchar(50) NOT NULL DEFAULT 'America/New_York',
    organization_id uuid REFERENCES comm_organizations (id) ON DELETE RESTRICT,
    created_by varchar(128) NOT NULL,
    status varchar(16) NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active', 'paused', 'completed')),
    start_date date,
    end_date date,
    started_at timestamptz,
    started_by varchar(128),
    ended_at timestamptz,
    ended_by varchar(128),
    ended_reason varchar(16) NOT NULL DEFAULT '' CHECK (ended_reason IN ('', 'finished', 'end_date', 'stopped')),
    audience_at timestamptz,
    audience integer NOT NULL DEFAULT 0,
    expanded_to uuid,
    expanded_at timestamptz,
    winner varchar(50),
    winner_at timestamptz,
    winner_by varchar(128),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (end_date >= start_date),
    CHECK ((status = 'completed') = (ended_at IS NOT NULL)),
    CHECK ((status = 'completed') = (ended_reason <> ''))
);
CREATE INDEX ON comm_campaigns (organization_id, status);
CREATE INDEX ON comm_campaigns (segment_id);
CREATE INDEX ON comm_campaigns (created_at, id);
-- Who is in a campaign, as its segment had it in the one moment in which it was begun.
CREATE TABLE comm_campaign_audience (
    campaign_id uuid NOT NULL,
    patient_id uuid NOT NULL,
    PRIMARY KEY (campaign_id, patient_id)
);
-- One line for each patient and step: what is planned, and what became of it. Without foreign keys: a million lines are
-- written at once, and asking for each whether there is its campaign and its patient took nearly half of the time, marked
-- every patient's row, and kept a campaign's pause waiting. Lines are made only out of both, and nobody can delete either.
CREATE TABLE comm_campaign_sends (
    campaign_id uuid NOT NULL,
    step varchar(64) NOT NULL,
    patient_id uuid NOT NULL,
    variant varchar(50) NOT NULL DEFAULT '',
    state varchar(16) NOT NULL DEFAULT 'WAITING' CHECK (state IN ('WAITING', 'MADE', 'SKIPPED', 'HELD_OUT')),
    due_at timestamptz NOT NULL,
    reason varchar(32) NOT NULL DEFAULT '',
    job_id uuid,
    decided_at timestamptz,
    PRIMARY KEY (campaign_id, step, patient_id),
    CHECK ((state = 'MADE') = (job_id IS NOT NULL)),
    CHECK ((state = 'WAITING') = (decided_at IS NULL))
);
CREATE INDEX comm_campaign_sends_due ON comm_campaign_sends (campaign_id, due_at, patient_id) WHERE state = 'WAITING';
CREATE INDEX ON comm_campaign_sends (patient_id);
CREATE INDEX ON comm_campaign_sends (job_id) WHERE job_id IS NOT NULL;

-- What was done to one campaign, the latest first.
CREATE INDEX operator_actions_campaign ON operator_actions ((detail ->> 'campaign_id'), id)
    WHERE detail ->> 'campaign_id' IS NOT NULL;
-- What was counted of a large campaign, and when: counting a million lines takes longer than a page may.
CREATE TABLE comm_campaign_reports (
    campaign_id uuid PRIMARY KEY REFERENCES comm_campaigns (id) ON DELETE RESTRICT,
    counted jsonb NOT NULL,
    seconds double precision NOT NULL CHECK (seconds >= 0),
    taken_at timestamptz NOT NULL
);

ALTER TABLE comm_jobs
    ADD COLUMN campaign_step varchar(64),
    ADD FOREIGN KEY (campaign_id) REFERENCES comm_campaigns (id) ON DELETE RESTRICT;
-- All that segments ask of messages, so that none of the wide rows is read for them.
CREATE INDEX comm_jobs_segments ON comm_jobs (sent_at, patient_id, channel, purpose, campaign_id, delivered_at, opened_at,
    clicked_at, replied_at, bounced_at, unsubscribed_at) WHERE sent_at IS NOT NULL;
CREATE INDEX comm_appointments_segments ON comm_appointments (starts_at, patient_id, status, provider_id);
-- What of a campaign waits or is just leaving, among the million that has left.
CREATE INDEX comm_jobs_campaign_open ON comm_jobs (campaign_id)
    WHERE campaign_id IS NOT NULL AND status IN ('PENDING', 'QUEUED');
-- Whether an appointment was reminded of, and when, is read from the index alone.
DROP INDEX comm_jobs_appointment_id_idx;
CREATE INDEX comm_jobs_appointment ON comm_jobs (appointment_id, sent_at, purpose, channel)
    WHERE appointment_id IS NOT NULL;

-- What is counted of messages: the day is that on which a message was sent, by UTC, so no share is ever above one.
CREATE TABLE comm_stats (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    date date NOT NULL,
    organization_id uuid,
    provider_id uuid,
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    purpose varchar(50) NOT NULL,
    {counts}
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (date, organization_id, provider_id, channel, purpose)
);
CREATE INDEX ON comm_stats (date, organization_id);
CREATE INDEX ON comm_stats (channel, purpose);
CREATE TABLE comm_campaign_stats (
    campaign_id uuid NOT NULL REFERENCES comm_campaigns (id) ON DELETE RESTRICT,
    step varchar(64) NOT NULL DEFAULT '',
    variant varchar(50) NOT NULL DEFAULT '',
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    {counts}
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (campaign_id, step, variant, channel)
);
-- What changed and is not counted yet: written with every change of a message, taken away when it is counted.
CREATE TABLE comm_stat_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    date date NOT NULL,
    organization_id uuid,
    provider_id uuid,
    channel varchar(16) NOT NULL,
    purpose varchar(50) NOT NULL,
    campaign_id uuid,
    step varchar(64) NOT NULL DEFAULT '',
    variant varchar(50) NOT NULL DEFAULT '',
    {counts}
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
-- What a message costs and what a kept appointment is worth, for everybody or for one organisation.
CREATE TABLE comm_rates (
    id uuid PRIMARY KEY,
    organization_id uuid REFERENCES comm_organizations (id) ON DELETE RESTRICT,
    currency varchar(3) NOT NULL CHECK (currency ~ '^[A-Z]{{3}}$'),
    visit_value numeric(12, 2) NOT NULL CHECK (visit_value >= 0),
    email_cost numeric(10, 5) NOT NULL CHECK (email_cost >= 0),
    sms_cost numeric(10, 5) NOT NULL CHECK (sms_cost >= 0),
    whatsapp_cost numeric(10, 5) NOT NULL CHECK (whatsapp_cost >= 0),
    baseline_no_show numeric(5, 4) CHECK (baseline_no_show BETWEEN 0 AND 1),
    version bigint NOT NULL DEFAULT 1,
    updated_by varchar(128) NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (organization_id)
);

-- The optimiser: whether it may decide, what it decided with which probability, and what it learned.
CREATE TABLE comm_optimiser (
    kind varchar(16) PRIMARY KEY CHECK (kind IN ('hour', 'channel', 'content')),
    mode varchar(16) NOT NULL DEFAULT 'off' CHECK (mode IN ('off', 'learning', 'on')),
    evidence jsonb NOT NULL DEFAULT '{{}}',
    reason varchar(500) NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 1,
    changed_by varchar(128) NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO comm_optimiser (kind, changed_by) VALUES ('hour', 'system'), ('channel', 'system'), ('content', 'system');
CREATE TABLE comm_choices (
    job_id uuid NOT NULL REFERENCES comm_jobs (id) ON DELETE RESTRICT,
    kind varchar(16) NOT NULL CHECK (kind IN ('hour', 'channel', 'content')),
    context varchar(64) NOT NULL,
    patient_id uuid NOT NULL,
    organization_id uuid,
    campaign_id uuid,
    purpose varchar(50) NOT NULL,
    channel varchar(16) NOT NULL CHECK (channel IN {channels}),
    weekday smallint NOT NULL CHECK (weekday BETWEEN 0 AND 6),
    policy varchar(16) NOT NULL CHECK (policy IN ('holdout', 'explore', 'optimiser')),
    arms jsonb NOT NULL,
    arm varchar(64) NOT NULL,
    propensity double precision NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    chosen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When somebody looks next at what became of it; null: everything is known.
    look_at timestamptz,
    reward smallint CHECK (reward IN (0, 1)),
    -- Nothing is learned from it: its message was never sent.
    void boolean NOT NULL DEFAULT false,
    opted_out boolean,
    closed_at timestamptz,
    PRIMARY KEY (job_id, kind),
    CHECK ((closed_at IS NOT NULL) = (void OR reward IS NOT NULL)),
    CHECK (NOT void OR reward IS NULL)
);
CREATE INDEX comm_choices_look ON comm_choices (look_at, job_id, kind) WHERE look_at IS NOT NULL;
CREATE INDEX comm_choices_closed ON comm_choices (kind, chosen_at, job_id) WHERE reward IS NOT NULL;
CREATE INDEX comm_choices_latest ON comm_choices (kind, chosen_at, job_id);
CREATE INDEX ON comm_choices (patient_id);
CREATE TABLE comm_learned (
    kind varchar(16) NOT NULL CHECK (kind IN ('hour', 'channel', 'content')),
    context varchar(64) NOT NULL,
    scope varchar(16) NOT NULL CHECK (scope IN ('global', 'organization', 'patient')),
    scope_id uuid NOT NULL,
    arm varchar(64) NOT NULL,
    tries double precision NOT NULL DEFAULT 0 CHECK (tries >= 0),
    wins double precision NOT NULL DEFAULT 0 CHECK (wins BETWEEN 0 AND tries),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, kind, context, scope, arm)
);
"""

COUNTS = ("sent", "delivered", "opened", "clicked", "replied", "bounced", "unsubscribed")
KEY = "date, organization_id, provider_id, channel, purpose"
OF_MESSAGE = """(sent_at AT TIME ZONE 'UTC')::date AS date, organization_id, provider_id, channel, purpose, campaign_id,
    coalesce(campaign_step, '') AS step, coalesce(ab_variant, '') AS variant"""

# What a statement leaves of its messages less what it found of them: one line for each day and kind that it changed.
# A message has no sent_at when it is made, so inserting changes nothing.
COUNTING = """
CREATE FUNCTION comm_stats_after_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    INSERT INTO comm_stat_changes ({key}, campaign_id, step, variant, {names})
        SELECT {key}, campaign_id, step, variant, {sums}
        FROM (
            SELECT 1 AS one, {of_message}, {instants} FROM new_rows WHERE sent_at IS NOT NULL
            UNION ALL
            SELECT -1, {of_message}, {instants} FROM old_rows WHERE sent_at IS NOT NULL
        ) found
        GROUP BY {key}, campaign_id, step, variant
        HAVING {any};
    RETURN NULL;
END $$;
CREATE TRIGGER count_changes AFTER UPDATE ON comm_jobs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION comm_stats_after_update();
ALTER TABLE comm_jobs ENABLE ALWAYS TRIGGER count_changes;
"""
# Messages that were sent before there were figures.
COUNTED = """
INSERT INTO comm_stats ({key}, {names})
    SELECT {key}, {counts} FROM (SELECT {of_message}, {instants} FROM comm_jobs WHERE sent_at IS NOT NULL) sent
    GROUP BY {key}
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON patient_segments, comm_campaigns, comm_stats, comm_campaign_stats, comm_rates,
    comm_campaign_reports, comm_optimiser, comm_learned TO {role};
GRANT SELECT, INSERT, DELETE ON comm_campaign_audience TO {role};
GRANT SELECT, INSERT, UPDATE (variant, state, due_at, reason, job_id, decided_at) ON comm_campaign_sends TO {role};
GRANT DELETE ON comm_stats, comm_campaign_stats TO {role};
GRANT SELECT, DELETE ON comm_stat_changes TO {role};
GRANT UPDATE (at) ON comm_stat_changes TO {role}; -- or it could not lock what it takes away
GRANT SELECT, INSERT, UPDATE (look_at, reward, void, opted_out, closed_at) ON comm_choices TO {role};
"""

ROLES = "UPDATE staff_roles SET permissions = permissions || '{campaigns}' WHERE name = 'admin'"
NO_ROLES = "UPDATE staff_roles SET permissions = array_remove(permissions, 'campaigns')"

SCOPES = (
    "orders:write,orders:read,dispatches:read,dispatches:act,dispatches:control,visits:write,visits:read,hl7:retry,"
    "pharmacy:write,pharmacy:read,pharmacy:act,tickets:people,comm:write,comm:read,comm:contact,comm:manage"
)
ADDED = "comm:campaigns"
CHANGE = """
ALTER TABLE service_tokens
    DROP CONSTRAINT service_tokens_scopes_check,
    ADD CONSTRAINT service_tokens_scopes_check CHECK (scopes <@ '{{{scopes}}}' AND scopes <> '{{}}')
"""
# A token must have a scope, so one that had only this is revoked with one that does not matter any more.
FORGET = """
UPDATE service_tokens SET
    scopes = CASE WHEN scopes <@ '{{{added}}}' THEN '{{dispatches:read}}' ELSE array_remove(scopes, '{added}') END,
    revoked_at = CASE WHEN scopes <@ '{{{added}}}' THEN coalesce(revoked_at, now()) ELSE revoked_at END
WHERE '{added}' = ANY (scopes)
"""


def literal(sql):
    """The driver reads % as a placeholder even where there is nothing to fill in."""
    return sql.replace("%", "%%")


def up(migrator, db):
    from dispatchlog.migrate import migration_role, migration_schema

    counts = "\n    ".join(f"{name}_count bigint NOT NULL DEFAULT 0," for name in COUNTS)
    db.execute_sql(literal(BUCKET))
    db.execute_sql(TABLES.format(nobody=NOBODY, channels=CHANNELS, counts=counts))
    _count_messages(db, schema=migration_schema(db))
    db.execute_sql(GRANTS.format(role=migration_role()))
    db.execute_sql(ROLES)
    db.execute_sql(CHANGE.format(scopes=f"{SCOPES},{ADDED}"))


def _count_messages(db, *, schema):
    instants = [f"{name}_at" for name in COUNTS]
    sums = [f"sum(CASE WHEN {at} IS NULL THEN 0 ELSE one END)" for at in instants]
    words = {
        "key": KEY,
        "of_message": OF_MESSAGE,
        "names": ", ".join(f"{name}_count" for name in COUNTS),
        "instants": ", ".join(instants),
    }
    db.execute_sql(
        COUNTING.format(schema=schema, sums=", ".join(sums), any=" OR ".join(f"{each} <> 0" for each in sums), **words)
    )
    db.execute_sql(COUNTED.format(counts=", ".join(f"count({at})" for at in instants), **words))


def down(migrator, db):
    db.execute_sql("DROP INDEX comm_appointments_segments, comm_jobs_segments, comm_jobs_campaign_open")
    db.execute_sql("DROP TRIGGER count_changes ON comm_jobs")
    db.execute_sql("DROP FUNCTION comm_stats_after_update")
    db.execute_sql("DROP INDEX comm_jobs_appointment")
    db.execute_sql(
        "CREATE INDEX comm_jobs_appointment_id_idx ON comm_jobs (appointment_id) WHERE appointment_id IS NOT NULL"
    )
    db.execute_sql("ALTER TABLE comm_jobs DROP COLUMN campaign_step, DROP CONSTRAINT comm_jobs_campaign_id_fkey")
    db.execute_sql(
        "DROP TABLE comm_learned, comm_choices, comm_optimiser, comm_rates, comm_stat_changes, comm_campaign_stats,"
        " comm_stats, comm_campaign_reports, comm_campaign_sends, comm_campaign_audience, comm_campaigns, patient_segments"
    )
    # A text of a family would stand where another one holds, so none of them is active any more.
    db.execute_sql("UPDATE comm_templates SET is_active = false WHERE family <> ''")
    db.execute_sql("DROP INDEX comm_templates_active")
    db.execute_sql("ALTER TABLE comm_templates DROP COLUMN family")
    db.execute_sql(
        "CREATE UNIQUE INDEX comm_templates_active ON comm_templates (purpose, channel, language,"
        f" coalesce(organization_id, '{NOBODY}'::uuid), coalesce(provider_id, '{NOBODY}'::uuid)) WHERE is_active"
    )
    db.execute_sql("ALTER TABLE patients DROP COLUMN birth_date, DROP COLUMN gender, DROP COLUMN tags")
    db.execute_sql("DROP INDEX operator_actions_campaign")
    db.execute_sql("DROP FUNCTION comm_bucket")
    db.execute_sql(NO_ROLES)
    db.execute_sql(FORGET.format(added=ADDED))
    db.execute_sql(CHANGE.format(scopes=SCOPES))
