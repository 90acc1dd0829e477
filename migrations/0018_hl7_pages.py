"""A message may hold the visit as a person rewrote it; indexes for lists of messages by when they were made."""

CHANGE = """
ALTER TABLE hl7_messages ADD COLUMN record jsonb;
DROP INDEX hl7_messages_created_at_idx;
DROP INDEX hl7_messages_school_id_seq_idx;
CREATE INDEX hl7_messages_made ON hl7_messages (created_at, id);
CREATE INDEX hl7_messages_made_status ON hl7_messages (status, created_at, id);
CREATE INDEX hl7_messages_made_school ON hl7_messages (school_id, created_at, id);
CREATE INDEX hl7_messages_made_both ON hl7_messages (school_id, status, created_at, id);
"""
# What a person rewrote is not kept by a schema that has no place for it; its message was built of it and stays.
BACK = """
DROP INDEX hl7_messages_made, hl7_messages_made_status, hl7_messages_made_school, hl7_messages_made_both;
CREATE INDEX hl7_messages_created_at_idx ON hl7_messages (created_at);
CREATE INDEX hl7_messages_school_id_seq_idx ON hl7_messages (school_id, seq);
ALTER TABLE hl7_messages DROP COLUMN record;
"""


def up(migrator, db):
    db.execute_sql(CHANGE)


def down(migrator, db):
    db.execute_sql(BACK)
