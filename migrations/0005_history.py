"""The history keeps doubts, and the count of failed attempts outlives a person's retry."""

LANE_TABLES = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'log_update' ORDER BY 1"

# What 0001 made, with the two places that differ left open.
AFTER_UPDATE = r"""
CREATE OR REPLACE FUNCTION dispatchlog_after_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, {schema}, pg_temp SET enable_nestloop = off SET enable_hashjoin = on AS $$
DECLARE
    bad record;
    seen record;
    signature record;
BEGIN
    SELECT count(*) AS pairs,
           count(*) FILTER (WHERE o.status <> n.status AND m.from_status IS NULL OR n.seq <> o.seq) AS wrong,
           count(*) FILTER (WHERE o.status IN ('SENT', 'CANCELLED')) AS final,
           count(*) FILTER (WHERE {moved}) AS moved
    INTO seen
    FROM old_rows o JOIN new_rows n ON n.id = o.id
    LEFT JOIN dispatch_moves m ON m.from_status = o.status AND m.to_status = n.status;
    IF seen.wrong > 0 OR seen.pairs <> (SELECT count(*) FROM new_rows) OR seen.pairs <> (SELECT count(*) FROM old_rows) THEN
        SELECT coalesce(o.id, n.id) AS id, o.status AS was, n.status AS becomes INTO bad
        FROM old_rows o FULL JOIN new_rows n ON n.id = o.id
        WHERE o.id IS NULL OR n.id IS NULL OR n.seq <> o.seq OR (o.status <> n.status AND NOT EXISTS (
            SELECT FROM dispatch_moves m WHERE m.from_status = o.status AND m.to_status = n.status))
        LIMIT 1;
        RAISE EXCEPTION 'dispatch % of %: % -> % is not a legal move', bad.id, TG_ARGV[0], bad.was, bad.becomes
            USING ERRCODE = 'DL002';
    END IF;
    IF seen.final > 0 THEN
        SELECT o.id, o.status AS was INTO bad
        FROM old_rows o JOIN new_rows n ON n.id = o.id
        JOIN dispatch_lanes l ON l.lane = TG_ARGV[0]
        WHERE o.status IN ('SENT', 'CANCELLED')
          AND to_jsonb(o) - l.mutable_when_final <> to_jsonb(n) - l.mutable_when_final
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'dispatch % of %: it is % and its body and receipt are frozen', bad.id, TG_ARGV[0], bad.was
                USING ERRCODE = 'DL003';
        END IF;
    END IF;
    IF seen.moved > 0 THEN
        SELECT * INTO signature FROM dispatchlog_signature();
        INSERT INTO dispatch_transitions
            (lane, dispatch_id, from_status, to_status{column}, actor, reason, claim_token, database_user)
            SELECT TG_ARGV[0], n.id, o.status, n.status{value}, signature.actor,
                   coalesce(signature.reason,
                            CASE WHEN n.status IN ('PENDING', 'FAILED', 'CANCELLED') THEN n.last_error END),
                   n.claim_token, session_user
            FROM old_rows o JOIN new_rows n ON n.id = o.id
            WHERE {moved};
    END IF;
    RETURN NULL;
END $$;
"""


def _after_update(db, **open_places):
    from dispatchlog.migrate import migration_schema

    # The driver reads % as a placeholder even where there is nothing to fill in.
    db.execute_sql(AFTER_UPDATE.format(schema=migration_schema(db), **open_places).replace("%", "%%"))


def _lane_tables(db):
    return [row[0] for row in db.execute_sql(LANE_TABLES).fetchall()]


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql("ALTER TABLE dispatch_transitions ADD COLUMN in_doubt boolean NOT NULL DEFAULT false")
    # A doubt raised or settled is a move in itself, also where the status stays FAILED.
    _after_update(
        db, moved="o.status <> n.status OR o.in_doubt <> n.in_doubt", column=", in_doubt", value=", n.in_doubt"
    )
    for table in ("dispatch_template", *_lane_tables(db)):
        db.execute_sql(
            f"ALTER TABLE {table} ADD COLUMN attempts_forgiven integer NOT NULL DEFAULT 0"
            " CHECK (attempts_forgiven BETWEEN 0 AND attempts)"
        )
    for table in _lane_tables(db):
        db.execute_sql(f"GRANT UPDATE (attempts_forgiven) ON {table} TO {migration_role()}")


def down(migrator, db):
    for table in ("dispatch_template", *_lane_tables(db)):
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN attempts_forgiven")
    _after_update(db, moved="o.status <> n.status", column="", value="")
    db.execute_sql("ALTER TABLE dispatch_transitions DROP COLUMN in_doubt")
