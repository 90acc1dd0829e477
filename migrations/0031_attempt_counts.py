"""How attempts ended and how long they took, added up, so that metrics need not count them."""

UP = """
CREATE TABLE dispatch_attempt_counts (
    lane varchar(64) NOT NULL,
    gateway varchar(64) NOT NULL,
    outcome varchar(16) NOT NULL,
    class varchar(16) NOT NULL,
    bucket smallint NOT NULL,
    number bigint NOT NULL,
    repeats bigint NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (lane, gateway, outcome, class, bucket)
);
CREATE TABLE dispatch_attempts_counted (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    up_to bigint NOT NULL
);
-- Those of before are counted by the scheduler, some at a time.
INSERT INTO dispatch_attempts_counted (up_to) VALUES (0);
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE (number, repeats, seconds) ON dispatch_attempt_counts TO {role};
GRANT SELECT, UPDATE (up_to) ON dispatch_attempts_counted TO {role};
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(UP)
    db.execute_sql(GRANTS.format(role=migration_role()))


def down(migrator, db):
    db.execute_sql("DROP TABLE dispatch_attempt_counts, dispatch_attempts_counted")
