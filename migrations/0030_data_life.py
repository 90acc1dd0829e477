"""The life of the data: where the log is known, what a restored backup lost, what is kept back and what was deleted."""

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


RETENTION = """
-- What is kept back whatever its age: for a dispute, an inspection, a court. Every value is lower case; `also` is how
-- sealed rows have it.
CREATE TABLE legal_holds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope varchar(16) NOT NULL CHECK (scope IN ('patient', 'subject', 'order', 'dispatch', 'organisation')),
    value varchar(320) NOT NULL CHECK (value <> ''),
    also text[] NOT NULL DEFAULT '{{}}',
    reason text NOT NULL CHECK (reason <> ''),
    held_by varchar(128) NOT NULL,
    held_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_by varchar(128),
    released_at timestamptz,
    release_reason text,
    CHECK (num_nulls(released_by, released_at, release_reason) IN (0, 3))
);
CREATE UNIQUE INDEX legal_holds_open ON legal_holds (scope, value) WHERE released_at IS NULL;

-- What leaves a table and when. The expressions are the owner's; an administrator sets the days alone.
CREATE TABLE retention_policies (
    name varchar(64) PRIMARY KEY,
    target varchar(64) NOT NULL,
    act varchar(8) NOT NULL CHECK (act IN ('empty', 'delete', 'prune')),
    lane varchar(64),
    age text NOT NULL,
    condition text NOT NULL DEFAULT 'true',
    empties jsonb NOT NULL DEFAULT '{{}}',
    hanging jsonb NOT NULL DEFAULT '[]',
    why text NOT NULL,
    least_days integer NOT NULL CHECK (least_days > 0),
    days integer CHECK (days >= least_days),
    version integer NOT NULL DEFAULT 1,
    changed_by varchar(128) NOT NULL DEFAULT 'migration',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE retention_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy varchar(64) NOT NULL,
    days integer NOT NULL,
    started_by varchar(128) NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rows bigint NOT NULL DEFAULT 0,
    newest timestamptz
);
CREATE INDEX ON retention_runs (policy, id);
GRANT SELECT, INSERT, UPDATE (released_by, released_at, release_reason) ON legal_holds TO {role};
GRANT SELECT, UPDATE (days, version, changed_by, changed_at) ON retention_policies TO {role};
GRANT SELECT ON retention_runs TO {role};
"""

FUNCTIONS = r"""
CREATE FUNCTION dispatchlog_is_held(of_row jsonb) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT EXISTS (SELECT FROM legal_holds h, unnest(h.value || h.also) AS kept WHERE h.released_at IS NULL AND CASE h.scope
        WHEN 'dispatch' THEN kept IN (of_row ->> 'id', of_row ->> 'dispatch_id')
        WHEN 'subject' THEN kept = lower(of_row ->> 'subject_id')
        WHEN 'order' THEN kept IN (of_row ->> 'order_id', lower(of_row ->> 'order_number'))
            OR split_part(lower(of_row ->> 'subject_id'), ':', 2) = kept
        WHEN 'patient' THEN kept IN (of_row ->> 'patient_id', of_row ->> 'party_id', lower(of_row ->> 'recipient_email'),
                                     lower(of_row ->> 'recipient'), of_row ->> 'recipient_hash',
                                     lower(of_row ->> 'patient_email'), lower(of_row ->> 'patient_phone'),
                                     lower(of_row ->> 'from_address'), lower(of_row ->> 'subject_id'))
            OR split_part(lower(of_row ->> 'subject_id'), ':', 2) = kept
            OR EXISTS (SELECT FROM jsonb_array_elements_text(coalesce(of_row -> 'search_keys', '[]')) AS each (key)
                       WHERE lower(each.key) = kept)
        ELSE kept IN (of_row ->> 'organization_id', of_row ->> 'school_id', of_row ->> 'pharmacy_id') END)
$$;

-- Which rows of a policy are due, as the WHERE of a query over its target t.
CREATE FUNCTION dispatchlog_retention_due_where(p retention_policies) RETURNS text LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('(%s) < now() - interval ''1 day'' * %s AND (%s) AND (NOT EXISTS (SELECT FROM legal_holds'
                  ' WHERE released_at IS NULL) OR NOT dispatchlog_is_held(to_jsonb(t)))', p.age, p.days, p.condition)
$$;

CREATE FUNCTION dispatchlog_retention_due(policy text, most integer) RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    p retention_policies;
    due bigint;
BEGIN
    SELECT * INTO STRICT p FROM retention_policies WHERE name = policy;
    IF p.days IS NULL THEN RETURN 0; END IF;
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %I t WHERE %s LIMIT %s) d', p.target,
                   dispatchlog_retention_due_where(p), most) INTO due;
    RETURN due;
END $$;

-- Deletes are refused everywhere but inside dispatchlog_retire, which names the one table it is about.
CREATE FUNCTION dispatchlog_refuse_unless_retired() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('dispatchlog.retires', true) = TG_TABLE_NAME THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% on % is refused: the dispatch log keeps what happened', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'DL004';
END $$;

CREATE FUNCTION dispatchlog_let_retire(target regclass) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, {schema}, pg_temp AS $$
BEGIN
    EXECUTE format('DROP TRIGGER keep_rows ON %s', target);
    EXECUTE format('CREATE TRIGGER keep_rows BEFORE DELETE OR TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION dispatchlog_refuse_unless_retired()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER keep_rows', target);
END $$;

-- One batch of one policy: at most so many rows, none that somebody else has locked. The run it belongs to counts it.
-- Always by index: statistics lag behind a table of which much is deleted.
CREATE FUNCTION dispatchlog_retire(policy text, most integer, run bigint, who text)
RETURNS TABLE (run_id bigint, done bigint) LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    p retention_policies;
    thing jsonb;
    ids uuid[];
    places tid[];
    latest timestamptz;
    kept text[];
BEGIN
    SELECT * INTO STRICT p FROM retention_policies WHERE name = policy;
    run_id := run;
    done := 0;
    IF p.days IS NULL THEN RETURN NEXT; RETURN; END IF;
    IF p.act = 'prune' THEN
        -- Whole sealed batches: of so many rows together, or one that has more.
        EXECUTE format('SELECT max(b.sealed_at) + interval ''1 microsecond'' FROM
                        (SELECT t.sealed_at, row_number() OVER w AS place, sum(t.row_count) OVER w AS so_far
                         FROM %I t WHERE %s WINDOW w AS (ORDER BY t.number)) b
                        WHERE b.place = 1 OR b.so_far <= greatest(%s, 10000)',
                       p.target, dispatchlog_retention_due_where(p), most) INTO latest;
        IF latest IS NOT NULL THEN
            done := dispatchlog_prune_audit(latest, format('retention: %s after %s days', p.name, p.days));
        END IF;
    ELSE
        -- In no order: sorting would read all that is due for every batch.
        EXECUTE format('SELECT array_agg(place), max(aged) FROM (SELECT t.ctid AS place, (%s) AS aged FROM %I t WHERE %s
                        LIMIT %s FOR UPDATE OF t SKIP LOCKED) d',
                       p.age, p.target, dispatchlog_retention_due_where(p), most) INTO places, latest;
        done := coalesce(cardinality(places), 0);
    END IF;
    IF done > 0 AND p.act = 'delete' THEN
        IF jsonb_array_length(p.hanging) > 0 THEN
            EXECUTE format('SELECT array_agg(t.id) FROM %I t WHERE t.ctid = ANY ($1)', p.target) INTO ids USING places;
            -- By its keys, which its index begins with.
            EXECUTE format('WITH gone AS MATERIALIZED (SELECT lower(k) AS key, t.id FROM %I t, unnest(t.search_keys) AS k
                                WHERE t.ctid = ANY ($1))
                            DELETE FROM dispatch_search s USING gone g
                            WHERE s.key = g.key AND s.lane = %L AND s.dispatch_id = g.id', p.target, p.lane) USING places;
            FOR thing IN SELECT * FROM jsonb_array_elements(p.hanging) LOOP
                EXECUTE format(CASE WHEN thing ->> 'keeps' = 'true' THEN 'UPDATE %1$I SET %2$I = NULL WHERE %2$I = ANY ($1)'
                                    ELSE 'DELETE FROM %1$I WHERE %2$I = ANY ($1)' END,
                               thing ->> 'table', thing ->> 'column') USING ids;
            END LOOP;
        END IF;
        PERFORM set_config('dispatchlog.retires', p.target, true);
        EXECUTE format('DELETE FROM %I t WHERE t.ctid = ANY ($1)', p.target) USING places;
        PERFORM set_config('dispatchlog.retires', '', true);
    ELSIF done > 0 AND p.act = 'empty' THEN
        -- What is emptied may not change on a final row, except here; nobody else sees that it may for a moment.
        SELECT l.mutable_when_final INTO kept FROM dispatch_lanes l WHERE l.lane = p.lane FOR UPDATE;
        UPDATE dispatch_lanes l SET mutable_when_final = kept || ARRAY(SELECT jsonb_object_keys(p.empties))
            WHERE l.lane = p.lane;
        EXECUTE format('UPDATE %I t SET %s WHERE t.ctid = ANY ($1)', p.target,
                       (SELECT string_agg(format('%I = %s', e.key, e.value), ', ') FROM jsonb_each_text(p.empties) e))
            USING places;
        UPDATE dispatch_lanes l SET mutable_when_final = kept WHERE l.lane = p.lane;
    END IF;
    IF run_id IS NULL THEN
        INSERT INTO retention_runs (policy, days, started_by) VALUES (p.name, p.days, who) RETURNING id INTO run_id;
    END IF;
    UPDATE retention_runs r SET rows = r.rows + done, last_at = clock_timestamp(), newest = greatest(r.newest, latest)
        WHERE r.id = run_id AND r.policy = p.name;
    RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION dispatchlog_retire, dispatchlog_retention_due, dispatchlog_let_retire FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dispatchlog_retire, dispatchlog_retention_due TO {role};
"""

SETTLED = "status IN ('SENT', 'CANCELLED', 'FAILED') AND NOT in_doubt"
# A row that failed may be tried again, so what it says stays on it.
# The index of the lists begins with the status and has the instant next; it is used where these are said.
LISTED = "t.seq > 0 AND t.status <> 'QUEUED'"
FINAL = f"{LISTED} AND t.status IN ('SENT', 'CANCELLED')"
LANES = {
    "kit_registration": "kit_registrations",
    "health_information": "health_information_dispatch_logs",
    "hl7": "hl7_messages",
    "courier_booking": "courier_bookings",
    "courier_cancellation": "courier_cancellations",
    "courier_message": "courier_messages",
    "ticket_notification": "ticket_notifications",
    "comm_job": "comm_jobs",
}
OF_A_DISPATCH = [
    {"table": table, "column": "dispatch_id"}
    for table in ("dispatch_attempts", "dispatch_payloads", "dispatch_escalations")
]
BIG = (*LANES.values(), "dispatch_attempts", "dispatch_payloads", "dispatch_search", "comm_events")
# With 0.2, a fifth of a table of 50 million rows is dead before anybody looks.
VACUUM = (
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000,"
    " autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05"
)
NINETY, YEAR, SIX_YEARS, SEVEN_YEARS, TEN_YEARS = 90, 365, 2190, 2555, 3650


def _payloads(lane, table):
    settled = SETTLED.replace("status", "d.status").replace("in_doubt", "d.in_doubt")
    return {
        "name": f"{lane} payloads",
        "target": "dispatch_payloads",
        "act": "empty",
        "age": "t.created_at",
        # OFFSET 0: row by row from the index of full payloads, and not by way of all dispatches.
        "condition": f"(t.body IS NOT NULL OR t.sealed IS NOT NULL) AND t.lane = '{lane}' AND EXISTS (SELECT FROM {table} d"
        f" WHERE d.id = t.dispatch_id AND {settled} AND (NOT EXISTS (SELECT FROM legal_holds WHERE released_at IS NULL)"
        " OR NOT dispatchlog_is_held(to_jsonb(d))) OFFSET 0)",
        "empties": {"body": "NULL", "recipient": "''", "headers": "'{}'", "sealed": "NULL"},
        "why": "what exactly was sent; its SHA-256 stays",
        "least_days": 30,
        "days": NINETY,
    }


def _texts(lane, age, condition, empties, why):
    return {
        "name": f"{lane} texts",
        "target": LANES[lane],
        "act": "empty",
        "lane": lane,
        "age": age,
        "condition": f"{FINAL} AND {condition}",
        "empties": empties,
        "why": why,
        "least_days": 30,
        "days": YEAR,
    }


def _rows(lane, condition, hanging, why):
    return {
        "name": lane,
        "target": LANES[lane],
        "act": "delete",
        "lane": lane,
        "age": "t.updated_at",
        "condition": f"{LISTED} AND t.{SETTLED.replace('NOT in_doubt', 'NOT t.in_doubt')} AND {condition}",
        "hanging": [*OF_A_DISPATCH, *hanging],
        "why": why,
        "least_days": YEAR,
        "days": SEVEN_YEARS,
    }


POLICIES = [
    *(_payloads(lane, table) for lane, table in LANES.items()),
    _texts(
        "hl7",
        "t.updated_at",
        "(t.sealed IS NOT NULL OR t.body <> '')",
        {"body": "''", "record": "NULL", "student_name": "''", "sealed": "NULL"},
        "the message; the visit it was made from stays",
    ),
    _texts(
        "comm_job",
        "t.updated_at",
        "(t.sealed IS NOT NULL OR t.body <> '')",
        {
            "body": "''",
            "subject": "NULL",
            "provider_template": "'{}'",
            "variables": "'{}'",
            "recipient": "''",
            "preferences_link": "''",
            "sealed": "NULL",
        },
        "what a patient was told and at which address; that and when it was said stays",
    ),
    _rows(
        "courier_message",
        "EXISTS (SELECT FROM courier_dispatches d WHERE d.id = t.courier_dispatch_id AND d.ended_at IS NOT NULL)",
        [],
        "its order has ended; the order itself stays",
    ),
    _rows(
        "ticket_notification",
        # While nobody has read them, it is what keeps the same messages from being told of again.
        "EXISTS (SELECT FROM healthcare_tickets h WHERE h.id = t.ticket_id AND h.ended_at IS NOT NULL)"
        " AND NOT (t.kind = 'UNREAD' AND EXISTS (SELECT FROM chat_thread_members m JOIN chat_threads c"
        " ON c.id = m.thread_id WHERE c.ticket_id = t.ticket_id AND m.party_id = t.party_id AND m.has_unread))",
        [],
        "its ticket has ended and what it told of was read; the ticket itself stays",
    ),
    _rows(
        "comm_job",
        "(t.campaign_id IS NULL OR EXISTS (SELECT FROM comm_campaigns c"
        " WHERE c.id = t.campaign_id AND c.ended_at IS NOT NULL))"
        " AND NOT EXISTS (SELECT FROM comm_jobs f WHERE f.fallback_of = t.id AND f.status IN ('PENDING', 'QUEUED'))"
        " AND NOT EXISTS (SELECT FROM comm_inbound i"
        " WHERE i.related_job_id = t.id AND i.waits_for_person AND NOT i.processed)",
        [
            {"table": "comm_choices", "column": "job_id"},
            {"table": "comm_events", "column": "job_id"},
            {"table": "comm_portal_tokens", "column": "job_id"},
            {"table": "comm_inbound", "column": "related_job_id", "keeps": True},
        ],
        "its figures stay",
    ),
    {
        "name": "provider news",
        "target": "comm_events",
        "act": "empty",
        "age": "t.received_at",
        "condition": "t.applied_at IS NOT NULL AND t.body <> '{}'",
        "empties": {"body": "'{}'"},
        "why": "what a provider said, word for word; what followed from it stays",
        "least_days": 30,
        "days": NINETY,
    },
    {
        "name": "courier news",
        "target": "courier_events",
        "act": "empty",
        "age": "t.received_at",
        "condition": "t.applied_at IS NOT NULL AND (t.sealed IS NOT NULL OR t.body <> '{}')",
        "empties": {"body": "'{}'", "sealed": "NULL"},
        "why": "what a courier said, word for word; what followed from it stays",
        "least_days": 30,
        "days": NINETY,
    },
    {
        "name": "patients' links",
        "target": "comm_portal_tokens",
        "act": "delete",
        "age": "t.expires_at",
        "why": "a link that has ended opens nothing",
        "least_days": 7,
        "days": NINETY,
    },
    {
        "name": "clock",
        "target": "schedule_occurrences",
        "act": "delete",
        "age": "t.occurs_at",
        "condition": "t.occurs_at < (SELECT max(m.occurs_at) FROM schedule_occurrences m WHERE m.job = t.job)",
        "why": "when a scheduled job ran; the newest run of each stays",
        "least_days": 30,
        "days": NINETY,
    },
    {
        "name": "alerts",
        "target": "dispatch_alerts",
        "act": "delete",
        "age": "t.over_at",
        "condition": "t.over_at IS NOT NULL",
        "why": "an alert that is over",
        "least_days": 30,
        "days": YEAR,
    },
    {
        "name": "alert notices",
        "target": "dispatch_alert_notices",
        "act": "delete",
        "age": "t.created_at",
        "condition": "t.sent_at IS NOT NULL OR t.given_up_at IS NOT NULL",
        "why": "who was told of an alert",
        "least_days": 30,
        "days": YEAR,
    },
    {
        "name": "audit",
        "target": "audit_seals",
        "act": "prune",
        "age": "t.sealed_at",
        # A batch leaves as a whole, so while anything is kept back none does.
        "condition": "t.number > coalesce((SELECT max(p.through) FROM audit_prunings p), 0)"
        " AND NOT EXISTS (SELECT FROM legal_holds h WHERE h.released_at IS NULL)",
        "why": "who did what, in whole sealed batches; their seals stay, and that they left is sealed too",
        "least_days": SIX_YEARS,
        "days": TEN_YEARS,
    },
]


def literal(sql):
    """The driver reads % as a placeholder even where there is nothing to fill in."""
    return sql.replace("%", "%%")


def up(migrator, db):
    import json

    from dispatchlog.migrate import migration_role, migration_schema

    role = migration_role()
    db.execute_sql(TABLES.format(role=role))
    db.execute_sql(RETENTION.format(role=role))
    db.execute_sql(literal(FUNCTIONS.replace("{schema}", migration_schema(db)).replace("{role}", role)))
    # Rows of its other lanes are what keeps a kit or a courier from being ordered twice, so those are never deleted.
    for table in {policy["target"] for policy in POLICIES if policy["act"] == "delete" and policy.get("lane")}:
        db.execute_sql("SELECT dispatchlog_let_retire(%s)", (table,))
    for policy in POLICIES:
        values = {
            name: json.dumps(value) if isinstance(value, (dict, list)) else value for name, value in policy.items()
        }
        db.execute_sql(
            f"INSERT INTO retention_policies ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))})",
            tuple(values.values()),
        )
    for table in BIG:
        db.execute_sql(f"ALTER TABLE {table} SET ({VACUUM})")


def down(migrator, db):
    names = [setting.partition(" =")[0].strip() for setting in VACUUM.split(",")]
    for table in BIG:
        db.execute_sql(f"ALTER TABLE {table} RESET ({', '.join(names)})")
    for table in {policy["target"] for policy in POLICIES if policy["act"] == "delete" and policy.get("lane")}:
        db.execute_sql(f"DROP TRIGGER keep_rows ON {table}")
        db.execute_sql(
            f"CREATE TRIGGER keep_rows BEFORE DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"
            " EXECUTE FUNCTION dispatchlog_refuse()"
        )
        db.execute_sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_rows")
    db.execute_sql(
        "DROP FUNCTION dispatchlog_retire, dispatchlog_retention_due, dispatchlog_let_retire,"
        " dispatchlog_refuse_unless_retired, dispatchlog_retention_due_where, dispatchlog_is_held"
    )
    db.execute_sql("DROP TABLE retention_runs, retention_policies, legal_holds")
    db.execute_sql("DROP TABLE log_losses, log_restorations, log_identity")
