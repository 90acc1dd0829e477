"""A role for pharmacists, and permissions of their own for exporting lists and for pausing lanes and providers."""

UP = """
INSERT INTO staff_roles (name, description, permissions) VALUES
    ('pharmacist', 'Works on dispatches: retries, cancels, settles doubts and reveals recipients', '{read,act,reveal}');
UPDATE staff_roles SET permissions = '{read,act,reveal,export,control}',
    description = 'Retries, cancels, settles doubts, reveals recipients, exports lists and pauses lanes'
    WHERE name = 'support';
UPDATE staff_roles SET permissions = '{read,audit,export}',
    description = 'Sees every dispatch, masked, and who did what; exports lists' WHERE name = 'auditor';
UPDATE staff_roles SET permissions = '{read,act,reveal,audit,manage,export,control}' WHERE name = 'admin';
"""

DOWN = """
DELETE FROM staff_user_roles WHERE role_id = (SELECT id FROM staff_roles WHERE name = 'pharmacist');
DELETE FROM staff_roles WHERE name = 'pharmacist';
UPDATE staff_roles SET permissions = array_remove(array_remove(permissions, 'export'), 'control');
"""


def up(migrator, db):
    db.execute_sql(UP)


def down(migrator, db):
    db.execute_sql(DOWN)
