"""One index by cause in place of two, none on a last change that nobody asks for, and one for what was tried before.

A row that was tried before needs no sweep. Without an index a worker would have to pick it out of all rows that wait for
the next sweep.
"""

LANE_TABLES = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'log_update' ORDER BY 1"

BY_CAUSE = "(last_error_code, status, in_doubt, updated_at, id) WHERE last_error_code IS NOT NULL"
TRIED = "(due_at) WHERE status = 'PENDING' AND (claims > 0 OR generation > 1)"
# What they replace, by columns (of partial indexes), and what each was made as.
REPLACED = {
    "updated_at": "ON {table} (updated_at) WHERE status IN ('FAILED', 'CANCELLED')",
    "last_error_code,status,updated_at,id": (
        "dispatchlog_{table}_cause ON {table} (last_error_code, status, updated_at, id) WHERE last_error_code IS NOT NULL"
    ),
    "last_error_code,updated_at,id": (
        "{table}_causes ON {table} (last_error_code, updated_at, id) WHERE status = 'FAILED' AND NOT in_doubt"
    ),
}
# Of lanes that were made meanwhile too, whatever PostgreSQL called them there.
INDEXES_OF = """
SELECT x.indexrelid::regclass::text, (SELECT string_agg(a.attname, ',' ORDER BY k.place)
    FROM unnest(x.indkey) WITH ORDINALITY k (number, place)
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.number)
FROM pg_index x WHERE x.indrelid = %s::regclass AND x.indpred IS NOT NULL AND x.indexprs IS NULL
"""
NEW = ("last_error_code,status,in_doubt,updated_at,id", "due_at")


def _tables(db):
    return ["dispatch_template", *[row[0] for row in db.execute_sql(LANE_TABLES).fetchall()]]


def up(migrator, db):
    for table in _tables(db):
        for name, columns in db.execute_sql(INDEXES_OF, (table,)).fetchall():
            if columns in REPLACED:
                db.execute_sql(f"DROP INDEX {name}")
        db.execute_sql(f"CREATE INDEX {table}_by_cause ON {table} {BY_CAUSE}")
        db.execute_sql(f"CREATE INDEX {table}_tried ON {table} {TRIED}")


def down(migrator, db):
    for table in _tables(db):
        for name, columns in db.execute_sql(INDEXES_OF, (table,)).fetchall():
            predicate = db.execute_sql("SELECT pg_get_indexdef(%s::regclass)", (name,)).fetchone()[0]
            if columns == NEW[0] or (columns == NEW[1] and "claims" in predicate):
                db.execute_sql(f"DROP INDEX {name}")
        for definition in REPLACED.values():
            index = definition.format(table=table)
            # 0010 left the name of this one to PostgreSQL, and its own step down does not know it by another.
            db.execute_sql(f"CREATE INDEX {index.removeprefix('dispatchlog_dispatch_template_cause ')}")
