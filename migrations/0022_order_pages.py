"""Indexes of the order pages: a list of one pharmacy, what waits at the gate, and finding an order by what people know."""

# What has no dispatch yet is asked for by what it waits for; everything that was delivered is Paid and ready too.
GATE = "payment_status, is_ready_for_dispatch, created_at, id) WHERE dispatch_id IS NULL"
INDEXES = (
    f"pharmacy_orders_gate ON pharmacy_orders ({GATE}",
    f"pharmacy_orders_gate_of ON pharmacy_orders (pharmacy_id, {GATE}",
    "pharmacy_orders_of ON pharmacy_orders (pharmacy_id, created_at, id)",
    "pharmacy_orders_status_of ON pharmacy_orders (pharmacy_id, dispatch_status, created_at, id)",
    "pharmacy_orders_number ON pharmacy_orders (lower(order_number) text_pattern_ops)",
    "pharmacy_orders_email ON pharmacy_orders (lower(patient_email))",
    # However its blanks, brackets and dashes are written.
    "pharmacy_orders_phone ON pharmacy_orders (regexp_replace(patient_phone, '[^0-9+]', '', 'g'))",
    # What people did to an order is kept with its id.
    "operator_actions_order ON operator_actions ((detail ->> 'order_id'), id) WHERE (detail ->> 'order_id') IS NOT NULL",
    "courier_dispatches_found ON courier_dispatches (courier_reference) WHERE courier_reference IS NOT NULL",
)


def up(migrator, db):
    for index in INDEXES:
        db.execute_sql(f"CREATE INDEX {index}")


def down(migrator, db):
    for index in INDEXES:
        db.execute_sql(f"DROP INDEX {index.partition(' ')[0]}")
