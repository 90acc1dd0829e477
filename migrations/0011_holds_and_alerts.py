"""Lanes and gateways that a person has paused, alerts with their notices, and counts of moves that only grow."""

UP = """
CREATE TABLE dispatch_holds (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope varchar(16) NOT NULL CHECK (scope IN ('lane', 'gateway')),
    name varchar(64) NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    held_by varchar(128) NOT NULL,
    held_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_by varchar(128),
    released_at timestamptz,
    release_reason text,
    CHECK ((released_at IS NULL) = (released_by IS NULL))
);
-- One hold of each thing at a time; it is also what a worker reads once a second.
CREATE UNIQUE INDEX dispatch_holds_open ON dispatch_holds (scope, name) WHERE released_at IS NULL;

CREATE TABLE dispatch_alerts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind varchar(32) NOT NULL,
    subject varchar(64) NOT NULL DEFAULT '',
    summary text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_true_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    over_at timestamptz
);
-- However many processes look at once, an alert starts once.
CREATE UNIQUE INDEX dispatch_alerts_open ON dispatch_alerts (kind, subject) WHERE over_at IS NULL;

CREATE TABLE dispatch_alert_notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL,
    phase varchar(8) NOT NULL CHECK (phase IN ('started', 'over')),
    channel varchar(8) NOT NULL CHECK (channel IN ('mail', 'webhook')),
    receiver varchar(320) NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at timestamptz,
    given_up_at timestamptz,
    last_error varchar(255),
    UNIQUE (alert_id, phase, channel, receiver)
);
CREATE INDEX dispatch_alert_notices_due ON dispatch_alert_notices (next_try_at)
    WHERE sent_at IS NULL AND given_up_at IS NULL;

CREATE TABLE dispatch_alert_checks (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    checked_at timestamptz NOT NULL,
    checked_by varchar(128) NOT NULL
);
INSERT INTO dispatch_alert_checks (checked_at, checked_by) VALUES ('2000-01-01 00:00+00', '');

CREATE TABLE dispatch_counts (
    lane varchar(64) NOT NULL,
    from_status varchar(16) NOT NULL,
    to_status varchar(16) NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (lane, from_status, to_status)
);
CREATE TABLE dispatch_counted (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    up_to bigint NOT NULL
);
"""

# What is being written while this runs has an id below the largest that can be seen, so writers are waited for.
COUNT = """
LOCK TABLE dispatch_transitions IN SHARE MODE;
INSERT INTO dispatch_counts (lane, from_status, to_status, number)
    SELECT lane, coalesce(from_status, ''), to_status, count(*) FROM dispatch_transitions
    WHERE from_status IS DISTINCT FROM to_status GROUP BY 1, 2, 3;
INSERT INTO dispatch_counted (up_to) SELECT coalesce(max(id), 0) FROM dispatch_transitions;
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE (released_by, released_at, release_reason) ON dispatch_holds TO {role};
GRANT SELECT, INSERT, UPDATE (summary, last_true_at, over_at) ON dispatch_alerts TO {role};
GRANT SELECT, INSERT, UPDATE (tries, next_try_at, sent_at, given_up_at, last_error) ON dispatch_alert_notices TO {role};
GRANT SELECT, UPDATE (checked_at, checked_by) ON dispatch_alert_checks TO {role};
GRANT SELECT, INSERT, UPDATE (number) ON dispatch_counts TO {role};
GRANT SELECT, UPDATE (up_to) ON dispatch_counted TO {role};
"""


def up(migrator, db):
    from dispatchlog.migrate import migration_role

    db.execute_sql(UP)
    db.execute_sql(COUNT)
    db.execute_sql(GRANTS.format(role=migration_role()))


def down(migrator, db):
    db.execute_sql(
        "DROP TABLE dispatch_holds, dispatch_alert_notices, dispatch_alerts, dispatch_alert_checks, dispatch_counts,"
        " dispatch_counted"
    )
