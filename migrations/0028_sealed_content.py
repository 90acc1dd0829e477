"""What rows say of patients, sealed: columns for it beside the plain ones, which stay for what older releases wrote."""

SEALED = (
    "dispatch_payloads",
    "comm_jobs",
    "comm_inbound",
    "hl7_messages",
    "visits",
    "pharmacy_orders",
    "courier_messages",
    "ticket_notifications",
    "courier_events",
)
# Lanes whose final rows may be sealed afresh, by the tables' owner or under a new key: what they say stays the same, and
# what was sent of it is in dispatch_payloads with its digest.
LANES = {
    "comm_job": ("recipient", "subject", "body", "provider_template", "variables", "preferences_link"),
    "hl7": ("body", "student_name", "record"),
    "courier_message": ("recipient_email", "search_keys"),
    "ticket_notification": ("recipient_email", "search_keys"),
}
# A visit stays as it was reported. Its content alone may be sealed, by the tables' owner: nobody else has the right.
KEEP_VISITS = """
DROP TRIGGER keep_rows ON visits;
CREATE TRIGGER keep_rows BEFORE UPDATE{columns} OR DELETE OR TRUNCATE ON visits
    FOR EACH STATEMENT EXECUTE FUNCTION dispatchlog_refuse();
ALTER TABLE visits ENABLE ALWAYS TRIGGER keep_rows;
"""
KEPT = """ OF id, school_id, number, kind, visited_at, student_number, record_sha256, warnings, source, trace_id,
    created_at"""
GRANTS = """
GRANT UPDATE (sealed) ON comm_jobs, courier_messages, ticket_notifications TO {role};
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    for table in SEALED:
        # One that may be null is added without a look at the rows. `dispatchlog seal` seals the older ones afterwards.
        db.execute_sql(f"ALTER TABLE {table} ADD COLUMN sealed bytea")
    for lane, columns in LANES.items():
        db.execute_sql(
            "UPDATE dispatch_lanes SET mutable_when_final = mutable_when_final || %s::text[] WHERE lane = %s",
            (["sealed", *columns], lane),
        )
    db.execute_sql(KEEP_VISITS.format(columns=KEPT))
    db.execute_sql(GRANTS.format(role=migration_role()))


def down(migrator, db):
    """Refused while anything is sealed: the release before would not find it."""
    for table in SEALED:
        if db.execute_sql(f"SELECT FROM {table} WHERE sealed IS NOT NULL LIMIT 1").fetchone():
            raise RuntimeError(f"{table} holds sealed content that an older release cannot read: restore a backup")
    for lane, columns in LANES.items():
        db.execute_sql(
            "UPDATE dispatch_lanes SET mutable_when_final = ARRAY(SELECT name FROM unnest(mutable_when_final)"
            " WITH ORDINALITY AS m (name, place) WHERE name <> ALL (%s::text[]) ORDER BY place) WHERE lane = %s",
            (["sealed", *columns], lane),
        )
    db.execute_sql(KEEP_VISITS.format(columns=""))
    for table in SEALED:
        db.execute_sql(f"ALTER TABLE {table} DROP COLUMN sealed")
