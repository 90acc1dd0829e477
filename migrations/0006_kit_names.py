"""One kit however its id is spelt: upper and lower case and blanks around it make no second kit of an order.

What an older version stored twice stays as it is, outside the new key. Of each kit's dispatches one is the kit's: the one
that went furthest. A second one that has not left is cancelled, and one that may just be leaving is put in doubt.
"""

# `dispatchlog.systems.kit_names` says why ASCII.
NAME = "lower(btrim(kit_id::text, E' \\t\\r\\n') COLLATE \"C\")"

LANES = ("kit_registrations", "health_information_dispatch_logs")

FURTHEST_FIRST = """
CASE WHEN status = 'SENT' THEN 1 WHEN in_doubt THEN 2 WHEN status = 'QUEUED' THEN 3 WHEN status = 'PENDING' THEN 4
     WHEN status = 'FAILED' THEN 5 ELSE 6 END, seq
"""

SECOND_ONES = """
SELECT id, first_id FROM (SELECT id, first_value(id) OVER kit AS first_id FROM {table}
    WINDOW kit AS (PARTITION BY order_id, {name} ORDER BY {order})) numbered WHERE id <> first_id ORDER BY id
"""

SETTLE = """
UPDATE {table} SET status = CASE WHEN {may_leave} THEN 'FAILED' ELSE 'CANCELLED' END, in_doubt = {may_leave},
    last_error_code = 'DUPLICATE_KIT', last_error = 'the same kit in another spelling has the dispatch ' || %s,
    updated_at = clock_timestamp()
WHERE id = %s AND NOT in_doubt AND status IN ('PENDING', 'QUEUED', 'FAILED')
"""
MAY_LEAVE = "(status = 'QUEUED' OR status = 'PENDING' AND first_claimed_at IS NOT NULL)"

# How 0002 makes it. Whatever differs may be an upstream service's, and its form is not ours to change.
OURS = """
SELECT c.relname FROM pg_class c WHERE c.oid = to_regclass(%s) AND c.relkind = 'r'
    AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
    AND (SELECT array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0) = ARRAY['id uuid', 'order_id uuid', 'kit_id character varying(64)',
        'recipient_email character varying(320)', 'registration_id character varying(255)',
        'registered_at timestamp with time zone', 'created_at timestamp with time zone',
        'updated_at timestamp with time zone']
    AND (SELECT array_agg(i.relname::text ORDER BY i.relname) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
         WHERE x.indrelid = c.oid) = ARRAY[c.relname || '_kit_id_idx', c.relname || '_order_id_kit_id_key',
        c.relname || '_pkey']
"""


def _second_ones(db, table, order):
    return db.execute_sql(SECOND_ONES.format(table=table, name=NAME, order=order)).fetchall()


def _add_key(db, table, apart):
    where = f" WHERE id <> ALL ('{{{','.join(map(str, apart))}}}')" if apart else ""
    db.execute_sql(f"CREATE UNIQUE INDEX dispatchlog_{table}_name ON {table} (order_id, {NAME}){where}")


def up(migrator, db):
    from dispatchlog.migrate import upstream_tables

    db.execute_sql("SELECT set_config('dispatchlog.actor', 'migration:0006', true)")
    for table in LANES:
        db.execute_sql(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
        second_ones = _second_ones(db, table, FURTHEST_FIRST)
        for dispatch_id, first_id in second_ones:
            db.execute_sql(SETTLE.format(table=table, may_leave=MAY_LEAVE), (str(first_id), dispatch_id))
        _add_key(db, table, [row[0] for row in second_ones])
    order_kits = upstream_tables()["order_kits"]
    if db.execute_sql(OURS, (order_kits,)).fetchone():
        _add_key(db, order_kits, [row[0] for row in _second_ones(db, order_kits, "id")])


def down(migrator, db):
    from dispatchlog.migrate import upstream_tables

    for table in (*LANES, upstream_tables()["order_kits"]):
        db.execute_sql(f"DROP INDEX IF EXISTS dispatchlog_{table}_name")
