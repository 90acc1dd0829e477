"""Which lanes a worker works on, and an index for what was done to one school."""

CHANGE = """
-- Null: every lane.
ALTER TABLE dispatch_workers ADD COLUMN lanes text[];
CREATE INDEX operator_actions_school ON operator_actions ((detail ->> 'school'), id)
    WHERE (detail ->> 'school') IS NOT NULL;
"""
BACK = """
DROP INDEX operator_actions_school;
ALTER TABLE dispatch_workers DROP COLUMN lanes;
"""


def up(migrator, db):
    db.execute_sql(CHANGE)


def down(migrator, db):
    db.execute_sql(BACK)
