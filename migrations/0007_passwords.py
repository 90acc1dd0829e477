"""Since when a password is its person's own; null: it was made for them, and they replace it at the next sign-in."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE staff_users ADD COLUMN password_chosen_at timestamptz")


def down(migrator, db):
    db.execute_sql("ALTER TABLE staff_users DROP COLUMN password_chosen_at")
