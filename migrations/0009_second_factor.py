"""A second factor at sign-in, its recovery codes, and indexes for asking who did what.

The secret is sealed by the application, and of a recovery code only a keyed hash is kept: reading them lets nobody in.
"""

TABLES = """
CREATE TABLE staff_second_factors (
    user_id integer PRIMARY KEY REFERENCES staff_users (id) ON DELETE CASCADE,
    secret bytea NOT NULL,
    last_counter bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE staff_recovery_codes (
    user_id integer NOT NULL REFERENCES staff_second_factors (user_id) ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    PRIMARY KEY (user_id, code_hash)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON staff_second_factors, staff_recovery_codes TO {role};
"""

# Lists of actions are ordered by (at, id), newest first, so that each filter of theirs walks one of these.
INDEXES = """
DROP INDEX operator_actions_actor_id_idx;
CREATE INDEX ON operator_actions (at, id);
CREATE INDEX ON operator_actions (actor, at, id);
CREATE INDEX ON operator_actions (action, at, id);
CREATE INDEX ON operator_actions (actor, action, at, id);
"""

DOWN = """
DROP INDEX operator_actions_at_id_idx, operator_actions_actor_at_id_idx, operator_actions_action_at_id_idx,
    operator_actions_actor_action_at_id_idx;
CREATE INDEX ON operator_actions (actor, id);
DROP TABLE staff_recovery_codes, staff_second_factors;
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(TABLES.format(role=migration_role()))
    db.execute_sql(INDEXES)


def down(migrator, db):
    db.execute_sql(DOWN)
