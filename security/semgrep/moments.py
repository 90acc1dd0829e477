from datetime import UTC, datetime


def now():
    # ruleid: instant-without-a-zone
    first = datetime.utcnow()
    # ruleid: instant-without-a-zone
    second = datetime.now()
    # ok: instant-without-a-zone
    return first, second, datetime.now(UTC)


def finish(Dispatch, row, cursor):
    # ruleid: status-written-outside-the-engine
    Dispatch.update(status="SENT").where(Dispatch.id == row.id).execute()
    # ruleid: status-written-outside-the-engine
    row.status = "SENT"
    # ruleid: status-written-outside-the-engine
    cursor.execute("UPDATE kit_registrations SET status = 'SENT' WHERE id = %s", (row.id,))
    # ok: status-written-outside-the-engine
    cursor.execute("SELECT id FROM kit_registrations WHERE status = 'SENT'")
    # ok: status-written-outside-the-engine
    Dispatch.update(note="seen").where(Dispatch.id == row.id).execute()
