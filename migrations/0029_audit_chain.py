"""The audit chain: what people, services and the program did is sealed in batches, and looks at patients' data are kept.

A row's line is what `row_to_json` makes of the columns listed here, in UTC. The list of a source never changes: a column
that comes later is not part of it, or belongs to a new `encoding` of later seals.
"""

# Table -> its number, and what of a row is sealed (docs/audit.md says the same).
SOURCES = {
    "dispatch_transitions": (
        "id",
        "id, lane, dispatch_id, from_status, to_status, at, actor, reason, claim_token, database_user",
    ),
    "operator_actions": ("id", "id, at, actor, action, lane, dispatch_id, reason, detail, database_user"),
    "comm_audit_log": (
        "id",
        "id, patient_id, user_id, action, actor, details, ip_address, user_agent, created_at",
    ),
    "order_changes": ("id", "id, order_id, version, what, payload, trace_id, changed_at"),
    "ticket_changes": ("id", "id, ticket_id, version, what, payload, audience, trace_id, changed_at"),
    "ticket_timeline": (
        "id",
        "id, ticket_id, kind, from_status, to_status, detail, reason, person_id, party_id, actor, at",
    ),
    "emergency_accesses": ("number", "number, id, ticket_id, user_id, reason, opened_at, expires_at"),
    "patient_reads": (
        "id",
        "id, at, actor, user_id, what, subject, why, filter, trace_id, ip_address, database_user",
    ),
    "audit_prunings": ("id", "id, at, through, before, row_count, sources, reason, database_user"),
}
# What a retention may take away. A ticket's timeline and who opened it are part of the ticket.
PRUNABLE = (
    "dispatch_transitions",
    "operator_actions",
    "comm_audit_log",
    "order_changes",
    "ticket_changes",
    "patient_reads",
)

TABLES = """
ALTER TABLE emergency_accesses ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY UNIQUE;

-- One row for each page or answer that showed patients' data.
CREATE TABLE patient_reads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor varchar(128) NOT NULL,
    user_id integer,
    what varchar(64) NOT NULL,
    subject varchar(200) NOT NULL DEFAULT '',
    why varchar(200) NOT NULL,
    filter jsonb NOT NULL DEFAULT '{{}}',
    trace_id varchar(64) NOT NULL DEFAULT '',
    ip_address varchar(45),
    database_user varchar(64) NOT NULL DEFAULT session_user
);
CREATE INDEX ON patient_reads (at, id);
CREATE INDEX ON patient_reads (actor, id);
CREATE INDEX ON patient_reads (subject, id);

-- One chain over all sources. `chained` is keyed: whoever has the database alone cannot make another one.
CREATE TABLE audit_seals (
    number bigint PRIMARY KEY,
    source varchar(64) NOT NULL,
    after_id bigint NOT NULL,
    last_id bigint NOT NULL,
    row_count integer NOT NULL CHECK (row_count > 0),
    encoding smallint NOT NULL,
    salt bytea NOT NULL,
    digest bytea NOT NULL,
    previous bytea NOT NULL,
    chained bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    UNIQUE (source, last_id)
);
CREATE INDEX ON audit_seals (sealed_at);
CREATE TABLE audit_anchors (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number bigint NOT NULL,
    chained bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    file varchar(255) NOT NULL
);
CREATE INDEX ON audit_anchors (number);
CREATE TABLE audit_checks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    first_number bigint NOT NULL,
    last_number bigint NOT NULL,
    row_count bigint NOT NULL,
    anchors integer NOT NULL,
    findings jsonb NOT NULL DEFAULT '[]',
    checked_by varchar(128) NOT NULL
);
CREATE TABLE audit_prunings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    through bigint NOT NULL,
    before timestamptz NOT NULL,
    row_count bigint NOT NULL,
    sources text[] NOT NULL,
    reason text NOT NULL,
    database_user varchar(64) NOT NULL DEFAULT session_user
);
"""

# SECURITY DEFINER where rows of tickets are read: what comes back is numbers and digests, never a row.
FUNCTIONS = """
CREATE FUNCTION dispatchlog_audit_lines(source text, after bigint, up_to bigint) RETURNS TABLE (id bigint, line text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, {schema}, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_column
BEGIN
    CASE source
{lines}
    ELSE RAISE EXCEPTION 'there is no audit source %', source;
    END CASE;
END $$;

CREATE FUNCTION dispatchlog_audit_newest() RETURNS TABLE (source text, newest bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
{newest}
$$;

-- The end of a batch of at most so many rows.
CREATE FUNCTION dispatchlog_audit_end(source text, after bigint, up_to bigint, most integer) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    found bigint;
BEGIN
    CASE source
{ends}
    ELSE RAISE EXCEPTION 'there is no audit source %', source;
    END CASE;
    RETURN found;
END $$;

CREATE FUNCTION dispatchlog_audit_digest(source text, after bigint, up_to bigint, salt bytea)
RETURNS TABLE (row_count bigint, digest bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
    SELECT count(*), sha256(coalesce(string_agg(sha256(salt || convert_to(l.line, 'UTF8')), ''::bytea ORDER BY l.id), ''))
    FROM dispatchlog_audit_lines(source, after, up_to) l
$$;

-- For how long the oldest row that no seal covers has waited; a source's time column is its writer's clock.
CREATE FUNCTION dispatchlog_audit_unsealed() RETURNS TABLE (source text, seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp AS $$
{unsealed}
$$;

CREATE FUNCTION dispatchlog_keep_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('dispatchlog.pruning', true) = pg_current_xact_id()::text THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% on % is refused: the dispatch log keeps what happened', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'DL004';
END $$;

-- Whole sealed batches leave; their seals stay, and that they left is written down and sealed like everything else.
CREATE FUNCTION dispatchlog_prune_audit(before timestamptz, why text DEFAULT 'retention') RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, {schema}, pg_temp AS $$
DECLARE
    upper_end bigint;
    lower_end bigint;
    kept_from bigint;
    source text;
    gone bigint;
    total bigint := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(7240129, 2);
    SELECT min(number) INTO kept_from FROM audit_seals WHERE sealed_at >= before;
    SELECT max(number) INTO upper_end FROM audit_seals WHERE kept_from IS NULL OR number < kept_from;
    SELECT coalesce(max(through), 0) INTO lower_end FROM audit_prunings;
    IF upper_end IS NULL OR upper_end <= lower_end THEN
        RETURN 0;
    END IF;
    IF NOT EXISTS (SELECT FROM audit_anchors a JOIN audit_seals s ON s.number = a.number AND s.chained = a.chained
            WHERE a.number >= upper_end) THEN
        RAISE EXCEPTION 'nothing is pruned before an anchor of seal % or a later one is written', upper_end
            USING ERRCODE = 'DL005', HINT = 'run: dispatchlog audit anchor FILE';
    END IF;
    IF (SELECT max(last_id) FROM audit_seals s WHERE s.source = 'dispatch_transitions' AND s.number <= upper_end)
            > (SELECT up_to FROM dispatch_counted) THEN
        RAISE EXCEPTION 'moves that are not counted yet are not pruned' USING ERRCODE = 'DL005',
            HINT = 'the scheduler counts them; try again when it has run';
    END IF;
    PERFORM set_config('dispatchlog.pruning', pg_current_xact_id()::text, true);
    FOREACH source IN ARRAY '{prunable}'::text[] LOOP
        EXECUTE format('DELETE FROM %I WHERE id <= (SELECT max(last_id) FROM audit_seals s WHERE s.source = $1
            AND s.number <= $2)', source) USING source, upper_end;
        GET DIAGNOSTICS gone = ROW_COUNT;
        total := total + gone;
    END LOOP;
    PERFORM set_config('dispatchlog.pruning', '', true);
    INSERT INTO audit_prunings (through, before, row_count, sources, reason)
        VALUES (upper_end, before, total, '{prunable}', why);
    RETURN total;
END $$;
"""
FUNCTION_NAMES = (
    "dispatchlog_audit_lines",
    "dispatchlog_audit_newest",
    "dispatchlog_audit_end",
    "dispatchlog_audit_digest",
    "dispatchlog_audit_unsealed",
    "dispatchlog_prune_audit",
    "dispatchlog_keep_audit",
)
# What the application asks; the lines themselves and pruning are the owner's.
ASKED = ("dispatchlog_audit_newest", "dispatchlog_audit_end", "dispatchlog_audit_digest", "dispatchlog_audit_unsealed")
APPEND_ONLY = ("patient_reads", "audit_seals", "audit_anchors", "audit_checks", "audit_prunings")
TIMES = {"comm_audit_log": "created_at", "order_changes": "changed_at", "ticket_changes": "changed_at"}
TIMES["emergency_accesses"] = "opened_at"


def _lines(source, number, columns):
    return (
        f"    WHEN '{source}' THEN RETURN QUERY SELECT r.{number}, row_to_json(r)::text FROM (SELECT {columns}"
        f" FROM {source} t WHERE t.{number} > after AND t.{number} <= up_to ORDER BY t.{number}) r;"
    )


def _end(source, number):
    return (
        f"    WHEN '{source}' THEN SELECT max(b.{number}) INTO found FROM (SELECT t.{number} FROM {source} t"
        f" WHERE t.{number} > after AND t.{number} <= up_to ORDER BY t.{number} LIMIT most) b;"
    )


def _newest(source, number):
    return f"    SELECT '{source}'::text, (SELECT max({number}) FROM {source})"


def _unsealed(source, number):
    at = TIMES.get(source, "at")
    return (
        f"    SELECT '{source}'::text, (SELECT extract(epoch FROM clock_timestamp() - t.{at})::float8 FROM {source} t"
        f" WHERE t.{number} > coalesce((SELECT max(last_id) FROM audit_seals WHERE source = '{source}'),"
        f" -9223372036854775808) ORDER BY t.{number} LIMIT 1)"
    )


def literal(sql):
    """The driver reads % as a placeholder even where there is nothing to fill in."""
    return sql.replace("%", "%%")


def _signatures(db):
    return db.execute_sql(
        "SELECT oid::regprocedure::text, proname FROM pg_proc"
        " WHERE proname = ANY (%s) AND pronamespace = current_schema()::regnamespace",
        (list(FUNCTION_NAMES),),
    ).fetchall()


def up(migrator, db):
    from dispatchlog.migrate import migration_role, migration_schema

    role = migration_role()
    each = [(source, *rest) for source, rest in SOURCES.items()]
    db.execute_sql(TABLES.format())
    db.execute_sql(
        literal(
            FUNCTIONS.format(
                schema=migration_schema(db),
                lines="\n".join(_lines(source, number, columns) for source, number, columns in each),
                ends="\n".join(_end(source, number) for source, number, _ in each),
                newest="\n    UNION ALL\n".join(_newest(source, number) for source, number, _ in each),
                unsealed="\n    UNION ALL\n".join(_unsealed(source, number) for source, number, _ in each),
                prunable="{" + ",".join(PRUNABLE) + "}",
            )
        )
    )
    for table in APPEND_ONLY:
        db.execute_sql("SELECT dispatchlog_append_only(%s)", (table,))
    for table in PRUNABLE:
        db.execute_sql(f"DROP TRIGGER keep_rows ON {table}")
        db.execute_sql(
            f"CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION dispatchlog_keep_audit()"
        )
        db.execute_sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_rows")
    for signature, name in _signatures(db):
        db.execute_sql(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        if name in ASKED:
            db.execute_sql(f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")
    db.execute_sql(f"GRANT SELECT, INSERT ON patient_reads, audit_seals, audit_anchors, audit_checks TO {role}")
    db.execute_sql(f"GRANT SELECT ON audit_prunings TO {role}")


def down(migrator, db):
    for table in PRUNABLE:
        db.execute_sql(f"DROP TRIGGER keep_rows ON {table}")
        if table != "patient_reads":
            db.execute_sql("SELECT dispatchlog_append_only(%s)", (table,))
    for signature, _ in _signatures(db):
        db.execute_sql(f"DROP FUNCTION {signature}")
    db.execute_sql("DROP TABLE patient_reads, audit_seals, audit_anchors, audit_checks, audit_prunings")
    db.execute_sql("ALTER TABLE emergency_accesses DROP COLUMN number")
