"""Every table of the systems, as Peewee models: columns, indexes and checks, no behaviour.

Moves, triggers and grants live in the migrations; the rules live in `dispatchlog.systems`.
"""

from __future__ import annotations

from typing import Any

from peewee import (
    SQL,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    DateField,
    DecimalField,
    DoubleField,
    ForeignKeyField,
    IdentityField,
    IntegerField,
    SmallIntegerField,
    TextField,
    TimeField,
    UUIDField,
    fn,
)
from playhouse.postgres_ext import ArrayField, BinaryJSONField, DateTimeTZField

from dispatchlog.engine.tables import (
    ENGINE_TABLES,
    NOW,
    AlwaysBigIdentityField,
    Dispatch,
    OperatorAction,
    RoutedDispatch,
    Table,
    lane_table,
    new_id,
    routed_lane_table,
)
from dispatchlog.settings import get_settings

_settings = get_settings()
_CLOCK = [SQL("DEFAULT clock_timestamp()")]
# One kit of an order however its id is spelt; the same expression as in `dispatchlog.systems.kit_names`.
_KIT_NAME = SQL("lower(btrim(kit_id::text, E' \\t\\r\\n') COLLATE \"C\")")


class Practitioner(Table):
    """Who ordered the kits. May be an upstream service's table (DISPATCHLOG_PRACTITIONERS_TABLE)."""

    id = UUIDField(primary_key=True, default=new_id)
    name = CharField(max_length=255)
    email = CharField(max_length=320, null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = _settings.practitioners_table


class Order(Table):
    """An order of kits. `status`: created, paid, shipped, delivered or cancelled; `registration_status` is ours."""

    id = UUIDField(primary_key=True, default=new_id)
    order_number = CharField(max_length=64, index=True)
    practitioner_id = UUIDField(null=True, index=True)
    status = CharField(max_length=32, default="created", constraints=[SQL("DEFAULT 'created'")])
    shipping_date = DateTimeTZField(null=True)
    tracking_number = CharField(max_length=128, null=True)
    tracking_url = CharField(max_length=2048, null=True)
    registration_status = CharField(max_length=32, null=True)
    registered_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(index=True, constraints=NOW)

    class Meta:
        table_name = _settings.orders_table


class OrderKit(Table):
    """One kit of an order, with the person who shall get its form (null: the practitioner gets it)."""

    id = UUIDField(primary_key=True, default=new_id)
    order_id = UUIDField()
    kit_id = CharField(max_length=64, index=True)
    recipient_email = CharField(max_length=320, null=True)
    registration_id = CharField(max_length=255, null=True)
    registered_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = _settings.order_kits_table
        indexes = ((("order_id", "kit_id"), True),)


OrderKit.add_index(
    OrderKit.index(OrderKit.order_id, _KIT_NAME, unique=True, name=f"dispatchlog_{_settings.order_kits_table}_name")
)


class OrderRegistration(Table):
    """What became of each reported order: registered, waiting, or why not (`code`), so that none is silently dropped."""

    order_id = UUIDField(primary_key=True)
    state = CharField(max_length=32)
    code = CharField(max_length=64, null=True)
    detail = TextField(null=True)
    sources = ArrayField(TextField, default=list, constraints=[SQL("DEFAULT '{}'")], index=False)
    reports = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    kits = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    first_reported_at = DateTimeTZField(constraints=NOW)
    last_reported_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "order_registrations"
        indexes = ((("state", "updated_at"), False),)


@lane_table
class KitRegistration(Dispatch):
    """Lane `kit_registration`: step 1 of one kit at the kit registry."""

    order_id = UUIDField()
    kit_id = CharField(max_length=64)
    order_number = CharField(max_length=64)
    practitioner_id = UUIDField()
    recipient_email = CharField(max_length=320, null=True)

    class Meta:
        table_name = "kit_registrations"
        indexes = ((("order_id", "kit_id"), True),)


@lane_table
class HealthInformationDispatchLog(Dispatch):
    """Lane `health_information`: the health-information form of one kit, one day after its registration."""

    order_id = UUIDField(index=True)
    kit_id = CharField(max_length=64)
    order_number = CharField(max_length=64)
    practitioner_id = UUIDField()
    recipient_email = CharField(max_length=320, null=True)
    registered_at = DateTimeTZField(index=True)

    class Meta:
        table_name = "health_information_dispatch_logs"
        indexes = (
            (("order_id", "kit_id"), True),
            (("status", "registered_at"), False),
        )


for _lane in (KitRegistration, HealthInformationDispatchLog):
    _name = f"dispatchlog_{_lane._meta.table_name}_name"
    _lane.add_index(_lane.index(_lane.order_id, _KIT_NAME, unique=True, name=_name))


class Role(Table):
    """What a member of staff may do; `dashboard.access` names every permission."""

    id = IdentityField()
    name = CharField(max_length=64, unique=True)
    description = TextField(default="", constraints=[SQL("DEFAULT ''")])
    permissions = ArrayField(TextField, default=list, constraints=[SQL("DEFAULT '{}'")], index=False)

    class Meta:
        table_name = "staff_roles"


class User(Table):
    """A member of staff. `fs_uniquifier` is what a session names; a new one ends every session of the user.

    `password_chosen_at` is null while the password is one that was made for the person, who then has to choose another.
    """

    id = IdentityField()
    email = CharField(max_length=320)
    password = CharField(max_length=255, null=True)
    password_chosen_at = DateTimeTZField(null=True)
    active = BooleanField(default=True, constraints=[SQL("DEFAULT true")])
    fs_uniquifier = CharField(max_length=64, unique=True)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "staff_users"


User.add_index(User.index(fn.lower(User.email), unique=True, name="staff_users_email"))


class UserRoles(Table):
    """Who has which role."""

    user = ForeignKeyField(User, on_delete="CASCADE", index=False)
    role = ForeignKeyField(Role, on_delete="RESTRICT")

    class Meta:
        table_name = "staff_user_roles"
        primary_key = CompositeKey("user", "role")


class SecondFactor(Table):
    """A member of staff's authenticator app: its sealed secret, and the number of the last time step that was accepted."""

    user = ForeignKeyField(User, primary_key=True, on_delete="CASCADE")
    secret = BlobField()
    last_counter = BigIntegerField()
    since = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "staff_second_factors"


class RecoveryCode(Table):
    """A code that stands in for the authenticator app once; only a keyed hash of it. Deleted when it is used."""

    user = ForeignKeyField(SecondFactor, on_delete="CASCADE", index=False)
    code_hash = BlobField()

    class Meta:
        table_name = "staff_recovery_codes"
        primary_key = CompositeKey("user", "code_hash")


class DataKey(Table):
    """A random key under which secrets are sealed or hashed, itself wrapped under the secret key that `key_check` tells."""

    id = IntegerField(primary_key=True, constraints=[Check("id > 0")])
    purpose = CharField(max_length=8, constraints=[Check("purpose IN ('seal', 'find')")])
    wrapped = BlobField(constraints=[Check("octet_length(wrapped) = 60")])
    key_check = BlobField(constraints=[Check("octet_length(key_check) = 8")])
    created_at = DateTimeTZField(constraints=NOW)
    wrapped_at = DateTimeTZField(constraints=NOW)
    completed_at = DateTimeTZField(null=True)
    superseded_at = DateTimeTZField(null=True)
    retired_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "data_keys"
        constraints = (
            Check("retired_at IS NULL OR superseded_at IS NOT NULL"),
            Check("purpose <> 'find' OR superseded_at IS NULL"),
        )


DataKey.add_index(
    DataKey.index(DataKey.purpose, unique=True, where=DataKey.superseded_at.is_null(), name="data_keys_active")
)


class WebSession(Table):
    """A browser's session: its random id only as a hash, what it remembers, and since when. Deleted at sign-out."""

    id_hash = BlobField(primary_key=True)
    user = ForeignKeyField(User, null=True, on_delete="CASCADE")
    data = TextField(default="{}", constraints=[SQL("DEFAULT '{}'")])
    created_at = DateTimeTZField(constraints=NOW)
    last_seen_at = DateTimeTZField(index=True, constraints=NOW)
    ip = CharField(max_length=64, default="", constraints=[SQL("DEFAULT ''")])
    user_agent = CharField(max_length=255, default="", constraints=[SQL("DEFAULT ''")])

    class Meta:
        table_name = "web_sessions"


class SignInFailure(Table):
    """A refused sign-in, kept for as long as the throttle counts it. The account is a hash: it may be a typed password."""

    id = AlwaysBigIdentityField(primary_key=True)
    account_hash = BlobField()
    address = CharField(max_length=64)
    at = DateTimeTZField(index=True, constraints=NOW)

    class Meta:
        table_name = "sign_in_failures"
        indexes = ((("account_hash", "address", "at"), False), (("address", "at"), False))


class ServiceToken(Table):
    """A service that may call the JSON API: a hash of its secret, never the secret. `name` is the source it reports as."""

    id = CharField(max_length=16, primary_key=True)
    name = CharField(max_length=64, constraints=[Check("name ~ '^[a-z0-9][a-z0-9-]*$'")])
    secret_sha256 = BlobField(constraints=[Check("octet_length(secret_sha256) = 32")])
    scopes = ArrayField(
        TextField,
        index=False,
        constraints=[
            Check(
                "scopes <@ '{orders:write,orders:read,dispatches:read,dispatches:act,dispatches:control,"
                "visits:write,visits:read,hl7:retry,pharmacy:write,pharmacy:read,pharmacy:act,tickets:people,"
                "comm:write,comm:read,comm:contact,comm:manage,comm:campaigns}'"
                " AND scopes <> '{}'"
            )
        ],
    )
    created_at = DateTimeTZField(constraints=NOW)
    created_by = CharField(max_length=128)
    last_used_at = DateTimeTZField(null=True)
    revoked_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "service_tokens"


ServiceToken.add_index(
    ServiceToken.index(
        ServiceToken.name, unique=True, where=ServiceToken.revoked_at.is_null(), name="service_tokens_name"
    )
)


class BulkRun(Table):
    """An action on many dispatches: a PREVIEW until somebody begins it (RUNNING), DONE when every row has its result,
    STOPPED where a person stopped it and some rows were not touched.

    `selection` says in words what was selected, without anybody's address; `more`: more matched than it takes. Of `total`
    rows `chosen` are acted on, so far `done` with effect and `unchanged` without. From `stopped_at` on none is taken.
    """

    id = UUIDField(primary_key=True, default=new_id)
    action = CharField(max_length=16, constraints=[Check("action IN ('retry', 'cancel')")])
    state = CharField(
        max_length=16,
        default="PREVIEW",
        constraints=[SQL("DEFAULT 'PREVIEW'"), Check("state IN ('PREVIEW', 'RUNNING', 'DONE', 'STOPPED')")],
    )
    selection = TextField(default="", constraints=[SQL("DEFAULT ''")])
    lanes = ArrayField(TextField, default=list, constraints=[SQL("DEFAULT '{}'")], index=False)
    total = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    chosen = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    done = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    unchanged = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    more = BooleanField(default=False, constraints=[SQL("DEFAULT false")])
    created_at = DateTimeTZField(constraints=NOW)
    created_by = CharField(max_length=128)
    started_at = DateTimeTZField(null=True)
    started_by = CharField(max_length=128, null=True)
    reason = TextField(null=True)
    finished_at = DateTimeTZField(null=True)
    stopped_at = DateTimeTZField(null=True)
    stopped_by = CharField(max_length=128, null=True)
    stop_reason = TextField(null=True)

    class Meta:
        table_name = "bulk_runs"
        indexes = ((("created_at", "id"), False),)
        constraints = (
            Check("state = 'PREVIEW' OR (started_at IS NOT NULL AND started_by IS NOT NULL)"),
            Check("(finished_at IS NOT NULL) = (state IN ('DONE', 'STOPPED'))"),
            Check("num_nulls(stopped_at, stopped_by, stop_reason) IN (0, 3)"),
            Check("state <> 'STOPPED' OR stopped_at IS NOT NULL"),
        )


BulkRun.add_index(
    BulkRun.index(BulkRun.started_at, BulkRun.id, where=BulkRun.state == SQL("'RUNNING'"), name="bulk_runs_running")
)


class BulkItem(Table):
    """One dispatch of a bulk run, frozen as it was seen, with what became of it; `result` is null until it is its turn."""

    run = ForeignKeyField(BulkRun, on_delete="CASCADE", index=False)
    position = IntegerField()
    lane = CharField(max_length=64)
    dispatch_id = UUIDField()
    seen_status = CharField(max_length=16)
    seen_in_doubt = BooleanField()
    seen_updated_at = DateTimeTZField()
    verdict = CharField(max_length=8, constraints=[Check("verdict IN ('SAFE', 'REVIEW', 'BLOCKED')")])
    cause = CharField(max_length=64)
    result = CharField(
        max_length=16,
        null=True,
        constraints=[Check("result IN ('DONE', 'MOVED', 'REFUSED', 'GONE', 'LEFT_OUT', 'STOPPED')")],
    )
    code = CharField(max_length=64, null=True)
    message = TextField(null=True)
    settled_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "bulk_items"
        primary_key = CompositeKey("run", "position")
        indexes = ((("run", "dispatch_id"), True),)
        constraints = (Check("(result IS NULL) = (settled_at IS NULL)"),)


BulkItem.add_index(
    BulkItem.index(BulkItem.run, BulkItem.position, where=BulkItem.result.is_null(), name="bulk_items_open")
)


class DispatchHold(Table):
    """A lane or a gateway that a person has paused, and who let it go on; never deleted."""

    id = AlwaysBigIdentityField(primary_key=True)
    scope = CharField(max_length=16, constraints=[Check("scope IN ('lane', 'gateway')")])
    name = CharField(max_length=64)
    reason = TextField(constraints=[Check("reason <> ''")])
    held_by = CharField(max_length=128)
    held_at = DateTimeTZField(constraints=_CLOCK)
    released_by = CharField(max_length=128, null=True)
    released_at = DateTimeTZField(null=True)
    release_reason = TextField(null=True)

    class Meta:
        table_name = "dispatch_holds"
        constraints = (Check("(released_at IS NULL) = (released_by IS NULL)"),)


DispatchHold.add_index(
    DispatchHold.index(
        DispatchHold.scope,
        DispatchHold.name,
        unique=True,
        where=DispatchHold.released_at.is_null(),
        name="dispatch_holds_open",
    )
)


class DispatchAlert(Table):
    """Something that somebody has to look at: since when, when it was last seen so, and when it was over."""

    id = AlwaysBigIdentityField(primary_key=True)
    kind = CharField(max_length=32)
    subject = CharField(max_length=64, default="", constraints=[SQL("DEFAULT ''")])
    summary = TextField()
    started_at = DateTimeTZField(constraints=_CLOCK)
    last_true_at = DateTimeTZField(constraints=_CLOCK)
    over_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "dispatch_alerts"


DispatchAlert.add_index(
    DispatchAlert.index(
        DispatchAlert.kind,
        DispatchAlert.subject,
        unique=True,
        where=DispatchAlert.over_at.is_null(),
        name="dispatch_alerts_open",
    )
)


class DispatchAlertNotice(Table):
    """One message about one alert: that it started or that it is over, by mail to one address or by webhook."""

    id = AlwaysBigIdentityField(primary_key=True)
    alert_id = BigIntegerField()
    phase = CharField(max_length=8, constraints=[Check("phase IN ('started', 'over')")])
    channel = CharField(max_length=8, constraints=[Check("channel IN ('mail', 'webhook')")])
    receiver = CharField(max_length=320, default="", constraints=[SQL("DEFAULT ''")])
    created_at = DateTimeTZField(constraints=_CLOCK)
    tries = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    next_try_at = DateTimeTZField(constraints=_CLOCK)
    sent_at = DateTimeTZField(null=True)
    given_up_at = DateTimeTZField(null=True)
    last_error = CharField(max_length=255, null=True)

    class Meta:
        table_name = "dispatch_alert_notices"
        indexes = ((("alert_id", "phase", "channel", "receiver"), True),)


DispatchAlertNotice.add_index(
    DispatchAlertNotice.index(
        DispatchAlertNotice.next_try_at,
        where=DispatchAlertNotice.sent_at.is_null() & DispatchAlertNotice.given_up_at.is_null(),
        name="dispatch_alert_notices_due",
    )
)


class DispatchAlertCheck(Table):
    """When it was last looked whether something is to be alerted, by whichever process; one row."""

    only_one = BooleanField(primary_key=True, constraints=[SQL("DEFAULT true"), Check("only_one")])
    checked_at = DateTimeTZField()
    checked_by = CharField(max_length=128)

    class Meta:
        table_name = "dispatch_alert_checks"


class DispatchCount(Table):
    """How often each lane made each move, up to the transition that `DispatchCounted` names; "" is a new dispatch."""

    lane = CharField(max_length=64)
    from_status = CharField(max_length=16)
    to_status = CharField(max_length=16)
    number = BigIntegerField()

    class Meta:
        table_name = "dispatch_counts"
        primary_key = CompositeKey("lane", "from_status", "to_status")


class DispatchCounted(Table):
    """Up to which transition the moves are counted; one row."""

    only_one = BooleanField(primary_key=True, constraints=[SQL("DEFAULT true"), Check("only_one")])
    up_to = BigIntegerField()

    class Meta:
        table_name = "dispatch_counted"


class DispatchAttemptCount(Table):
    """How many attempts ended how, and in which span of time (-1: nothing was sent), up to what `DispatchAttemptsCounted`
    names; `repeats` of them were not the first of their dispatch.
    """

    lane = CharField(max_length=64)
    gateway = CharField(max_length=64)
    outcome = CharField(max_length=16)
    class_ = CharField(max_length=16, column_name="class")
    bucket = SmallIntegerField()
    number = BigIntegerField()
    repeats = BigIntegerField()
    seconds = DoubleField()

    class Meta:
        table_name = "dispatch_attempt_counts"
        primary_key = CompositeKey("lane", "gateway", "outcome", "class_", "bucket")


class DispatchAttemptsCounted(Table):
    """Up to which attempt they are counted; one row."""

    only_one = BooleanField(primary_key=True, constraints=[SQL("DEFAULT true"), Check("only_one")])
    up_to = BigIntegerField()

    class Meta:
        table_name = "dispatch_attempts_counted"


class School(Table):
    """A school with a clinic; `code` names its endpoint in the log, in addresses and on pages."""

    id = UUIDField(primary_key=True, default=new_id)
    code = CharField(max_length=40, unique=True, constraints=[Check("code ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'")])
    name = CharField(max_length=255)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "schools"


def _text(most: int, default: str = "", *checks: Any) -> CharField:
    return CharField(max_length=most, default=default, constraints=[SQL(f"DEFAULT '{default}'"), *checks])


class Hl7Endpoint(Table):
    """Where and how a school's messages leave. Keys are sealed; `version` grows with every change."""

    school = ForeignKeyField(School, primary_key=True, column_name="school_id", on_delete="RESTRICT")
    enabled = BooleanField(default=False, constraints=[SQL("DEFAULT false")])
    transport = _text(8, "MLLP", Check("transport IN ('MLLP', 'HTTPS')"))
    host = _text(255)
    port = IntegerField(default=2575, constraints=[SQL("DEFAULT 2575"), Check("port BETWEEN 1 AND 65535")])
    url = _text(2048)
    tls = BooleanField(default=True, constraints=[SQL("DEFAULT true")])
    server_name = _text(255)
    ca_pem = TextField(default="", constraints=[SQL("DEFAULT ''")])
    client_certificate_pem = TextField(default="", constraints=[SQL("DEFAULT ''")])
    client_key_sealed = BlobField(null=True)
    api_key_sealed = BlobField(null=True)
    api_key_header = _text(64, "X-API-Key")
    sending_application = _text(227, "DISPATCHLOG")
    sending_facility = _text(227)
    receiving_application = _text(227)
    receiving_facility = _text(227)
    patient_authority = _text(227)
    national_authority = _text(227)
    visit_authority = _text(227)
    message_type_form = _text(8, "FULL", Check("message_type_form IN ('FULL', 'SHORT')"))
    control_id_length = SmallIntegerField(
        default=20, constraints=[SQL("DEFAULT 20"), Check("control_id_length BETWEEN 12 AND 20")]
    )
    processing_id = _text(1, "P", Check("processing_id IN ('P', 'T', 'D')"))
    acknowledgements = BinaryJSONField(default=dict, constraints=[SQL("DEFAULT '{}'")], index=False)
    messages = BinaryJSONField(default=dict, constraints=[SQL("DEFAULT '{}'")], index=False)
    rate_per_second = DoubleField(null=True, default=1.0, constraints=[SQL("DEFAULT 1"), Check("rate_per_second > 0")])
    batch = SmallIntegerField(default=10, constraints=[SQL("DEFAULT 10"), Check("batch BETWEEN 1 AND 1000")])
    max_retries = SmallIntegerField(default=5, constraints=[SQL("DEFAULT 5"), Check("max_retries BETWEEN 0 AND 100")])
    first_retry_seconds = DoubleField(default=30.0, constraints=[SQL("DEFAULT 30"), Check("first_retry_seconds > 0")])
    dedupes = BooleanField(default=True, constraints=[SQL("DEFAULT true")])
    in_line = BooleanField(default=False, constraints=[SQL("DEFAULT false")])
    deadline_seconds = DoubleField(
        default=15.0, constraints=[SQL("DEFAULT 15"), Check("deadline_seconds BETWEEN 0.1 AND 120")]
    )
    connect_seconds = DoubleField(
        default=5.0, constraints=[SQL("DEFAULT 5"), Check("connect_seconds BETWEEN 0.1 AND 60")]
    )
    idle_seconds = DoubleField(default=60.0, constraints=[SQL("DEFAULT 60"), Check("idle_seconds BETWEEN 0 AND 3600")])
    max_reply_bytes = IntegerField(
        default=65536, constraints=[SQL("DEFAULT 65536"), Check("max_reply_bytes BETWEEN 256 AND 16777216")]
    )
    version = IntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    updated_by = CharField(max_length=128)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "hl7_endpoints"


class Visit(Table):
    """What a clinic reported of one visit, as it was reported; never changed."""

    id = UUIDField(primary_key=True, default=new_id)
    school = ForeignKeyField(School, column_name="school_id", on_delete="RESTRICT", index=False)
    number = CharField(max_length=20)
    kind = CharField(
        max_length=16,
        constraints=[
            Check("kind IN ('REGISTRATION', 'UPDATE', 'ASSESSMENT', 'IMMUNISATION', 'APPOINTMENT', 'PROBLEM')")
        ],
    )
    visited_at = DateTimeTZField()
    student_number = CharField(max_length=64)
    student_name = CharField(max_length=255)
    record = BinaryJSONField(index=False)
    record_sha256 = BlobField()
    warnings = ArrayField(TextField, default=list, constraints=[SQL("DEFAULT '{}'")], index=False)
    source = CharField(max_length=128)
    trace_id = CharField(max_length=64, default="", constraints=[SQL("DEFAULT ''")])
    created_at = DateTimeTZField(index=True, constraints=NOW)
    sealed = BlobField(null=True)

    class Meta:
        table_name = "visits"
        indexes = ((("school", "student_number"), False),)


@routed_lane_table
class Hl7Message(RoutedDispatch):
    """Lane `hl7`: one message of a visit to its school's endpoint, byte for byte as it leaves.

    `record` is the visit as a person rewrote it for this message; null where the message says what the clinic reported.
    """

    visit = ForeignKeyField(Visit, column_name="visit_id", null=True, on_delete="RESTRICT")
    school = ForeignKeyField(School, column_name="school_id", on_delete="RESTRICT", index=False)
    message_type = CharField(max_length=16)
    control_id = CharField(max_length=20, unique=True)
    body = BlobField()
    student_number = CharField(max_length=64)
    student_name = CharField(max_length=255)
    replaces_id = UUIDField(null=True)
    written_by = CharField(max_length=128, default="", constraints=[SQL("DEFAULT ''")])
    record = BinaryJSONField(null=True, index=False)
    sealed = BlobField(null=True)

    class Meta:
        table_name = "hl7_messages"
        indexes = (
            (("seq",), False),
            (("status", "seq"), False),
            (("school", "status", "seq"), False),
            (("created_at", "id"), False),
            (("status", "created_at", "id"), False),
            (("school", "created_at", "id"), False),
            (("school", "status", "created_at", "id"), False),
        )


Hl7Message.add_index(
    Hl7Message.index(Hl7Message.replaces_id, where=Hl7Message.replaces_id.is_null(False), name="hl7_messages_replaces")
)


class Pharmacy(Table):
    """A pharmacy, and so where a courier picks up; `code` names it in orders and addresses."""

    id = UUIDField(primary_key=True, default=new_id)
    code = CharField(max_length=40, unique=True, constraints=[Check("code ~ '^[A-Za-z0-9][A-Za-z0-9._-]*$'")])
    name = CharField(max_length=255)
    phone = CharField(max_length=32)
    email = CharField(max_length=320, null=True)
    address = CharField(max_length=500)
    city = _text(120)
    latitude = DoubleField(constraints=[Check("latitude BETWEEN -90 AND 90")])
    longitude = DoubleField(constraints=[Check("longitude BETWEEN -180 AND 180")])
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "pharmacies"


class PharmacyOrder(Table):
    """An order of medicines. `dispatch_id` and `dispatch_status` are those of its newest courier dispatch.

    `version` grows with every change that anybody is told of.
    """

    id = UUIDField(primary_key=True, default=new_id)
    order_number = CharField(max_length=64, unique=True)
    pharmacy = ForeignKeyField(Pharmacy, column_name="pharmacy_id", on_delete="RESTRICT")
    patient_id = _text(64)
    patient_name = CharField(max_length=255)
    patient_phone = CharField(max_length=32)
    patient_email = CharField(max_length=320)
    address = CharField(max_length=500)
    city = _text(120)
    latitude = DoubleField(constraints=[Check("latitude BETWEEN -90 AND 90")])
    longitude = DoubleField(constraints=[Check("longitude BETWEEN -180 AND 180")])
    address_note = _text(500)
    currency = CharField(max_length=3)
    total_minor = BigIntegerField(constraints=[Check("total_minor >= 0")])
    payment_status = _text(16, "Pending", Check("payment_status IN ('Pending', 'Paid', 'Failed', 'Refunded')"))
    payment_reference = CharField(max_length=128, null=True)
    paid_at = DateTimeTZField(null=True)
    is_ready_for_dispatch = BooleanField(default=False, constraints=[SQL("DEFAULT false")])
    ready_at = DateTimeTZField(null=True)
    ready_by = CharField(max_length=128, null=True)
    deliver_by = DateTimeTZField(null=True)
    dispatch_id = UUIDField(null=True)
    dispatch_status = CharField(max_length=16, null=True)
    document_sha256 = BlobField()
    version = BigIntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    source = CharField(max_length=128)
    trace_id = CharField(max_length=64)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)
    sealed = BlobField(null=True)

    class Meta:
        table_name = "pharmacy_orders"
        constraints = [  # noqa: RUF012  (Peewee's own way)
            Check("(payment_status = 'Paid') <= (paid_at IS NOT NULL)"),
            Check("is_ready_for_dispatch = (ready_at IS NOT NULL)"),
            Check("(dispatch_id IS NULL) = (dispatch_status IS NULL)"),
        ]
        indexes = (
            (("created_at", "id"), False),
            (("dispatch_status", "created_at", "id"), False),
            (("payment_status", "is_ready_for_dispatch", "created_at", "id"), False),
        )


PharmacyOrder.add_index(
    PharmacyOrder.index(PharmacyOrder.patient_id, where=SQL("patient_id <> ''"), name="pharmacy_orders_patient")
)
_GATE = (PharmacyOrder.payment_status, PharmacyOrder.is_ready_for_dispatch, PharmacyOrder.created_at, PharmacyOrder.id)
_AT_GATE = SQL("dispatch_id IS NULL")
for _index in (
    PharmacyOrder.index(*_GATE, where=_AT_GATE, name="pharmacy_orders_gate"),
    PharmacyOrder.index(PharmacyOrder.pharmacy, *_GATE, where=_AT_GATE, name="pharmacy_orders_gate_of"),
    PharmacyOrder.index(PharmacyOrder.pharmacy, PharmacyOrder.created_at, PharmacyOrder.id, name="pharmacy_orders_of"),
    PharmacyOrder.index(
        PharmacyOrder.pharmacy,
        PharmacyOrder.dispatch_status,
        PharmacyOrder.created_at,
        PharmacyOrder.id,
        name="pharmacy_orders_status_of",
    ),
    PharmacyOrder.index(SQL("lower(order_number) text_pattern_ops"), name="pharmacy_orders_number"),
    PharmacyOrder.index(SQL("lower(patient_email)"), name="pharmacy_orders_email"),
    PharmacyOrder.index(SQL("regexp_replace(patient_phone, '[^0-9+]', '', 'g')"), name="pharmacy_orders_phone"),
):
    PharmacyOrder.add_index(_index)


_ORDER_OF_DEED = SQL("(detail ->> 'order_id')")
OperatorAction.add_index(
    OperatorAction.index(
        _ORDER_OF_DEED,
        OperatorAction.id,
        where=SQL("(detail ->> 'order_id') IS NOT NULL"),
        name="operator_actions_order",
    )
)


OperatorAction.add_index(
    OperatorAction.index(
        SQL("(detail ->> 'campaign_id')"),
        OperatorAction.id,
        where=SQL("(detail ->> 'campaign_id') IS NOT NULL"),
        name="operator_actions_campaign",
    )
)


class PharmacyOrderItem(Table):
    """A line of a pharmacy order; never changed."""

    order = ForeignKeyField(PharmacyOrder, column_name="order_id", on_delete="RESTRICT", index=False)
    number = SmallIntegerField(constraints=[Check("number > 0")])
    name = CharField(max_length=255)
    quantity = IntegerField(constraints=[Check("quantity > 0")])

    class Meta:
        table_name = "pharmacy_order_items"
        primary_key = CompositeKey("order", "number")


class CourierDispatch(Table):
    """One attempt to bring an order to its patient: from the wish to book a courier until it ended.

    `status` is REQUESTED until the courier has the booking. `courier_reference` is the courier's own number, `poll_at` when
    it is asked next. Of the delivery code only a keyed hash is kept.
    """

    id = UUIDField(primary_key=True, default=new_id)
    order = ForeignKeyField(PharmacyOrder, column_name="order_id", on_delete="RESTRICT", index=False)
    attempt = IntegerField(constraints=[Check("attempt > 0")])
    courier = CharField(max_length=32)
    status = _text(
        16,
        "REQUESTED",
        Check(
            "status IN ('REQUESTED', 'BOOKED', 'ASSIGNED', 'PICKED_UP', 'IN_TRANSIT', 'DELIVERED', 'FAILED', 'CANCELED')"
        ),
    )
    courier_reference = CharField(max_length=255, null=True)
    job_references = BinaryJSONField(default=dict, constraints=[SQL("DEFAULT '{}'")], index=False)
    raw_status = _text(255)
    tracking_url = CharField(max_length=2048, null=True)
    driver_name = CharField(max_length=255, null=True)
    driver_phone = CharField(max_length=32, null=True)
    eta_at = DateTimeTZField(null=True)
    requested_at = DateTimeTZField(constraints=_CLOCK)
    booked_at = DateTimeTZField(null=True)
    assigned_at = DateTimeTZField(null=True)
    picked_up_at = DateTimeTZField(null=True)
    in_transit_at = DateTimeTZField(null=True)
    ended_at = DateTimeTZField(null=True)
    failure_code = CharField(max_length=64, null=True)
    failure_reason = TextField(null=True)
    confirmed_by = CharField(
        max_length=8, null=True, constraints=[Check("confirmed_by IN ('otp', 'courier', 'staff')")]
    )
    code_counter = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    code_hash = BlobField(null=True)
    code_expires_at = DateTimeTZField(null=True)
    code_tries = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    code_locked_at = DateTimeTZField(null=True)
    cancel_requested_at = DateTimeTZField(null=True)
    cancel_requested_by = CharField(max_length=128, null=True)
    cancel_reason = TextField(null=True)
    cancel_refused = CharField(max_length=255, null=True)
    poll_at = DateTimeTZField(null=True)
    polled_at = DateTimeTZField(null=True)
    heard_at = DateTimeTZField(null=True)
    polls_apart = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    disagreement = CharField(max_length=255, null=True)
    trace_id = CharField(max_length=64)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "courier_dispatches"
        constraints = [  # noqa: RUF012  (Peewee's own way)
            Check("(status IN ('DELIVERED', 'FAILED', 'CANCELED')) = (ended_at IS NOT NULL)"),
            Check("(status = 'DELIVERED') = (confirmed_by IS NOT NULL)"),
        ]
        indexes = ((("order", "attempt"), True), (("created_at", "id"), False))


for _index in (
    CourierDispatch.index(
        CourierDispatch.order, unique=True, where=SQL("status NOT IN ('FAILED', 'CANCELED')"), name="one_open"
    ),
    CourierDispatch.index(
        CourierDispatch.courier,
        CourierDispatch.courier_reference,
        unique=True,
        where=SQL("courier_reference IS NOT NULL"),
        name="reference",
    ),
    CourierDispatch.index(CourierDispatch.poll_at, where=SQL("poll_at IS NOT NULL"), name="poll"),
    CourierDispatch.index(CourierDispatch.updated_at, where=SQL("disagreement IS NOT NULL"), name="disagreement"),
    CourierDispatch.index(CourierDispatch.ended_at, where=SQL("ended_at IS NOT NULL"), name="ended"),
    CourierDispatch.index(
        CourierDispatch.courier_reference, where=SQL("courier_reference IS NOT NULL"), name="courier_dispatches_found"
    ),
):
    CourierDispatch.add_index(_index)


class CourierEvent(Table):
    """What was heard of a dispatch, once per event of the courier; `effect` is what it did when it was applied."""

    id = AlwaysBigIdentityField(primary_key=True)
    courier = CharField(max_length=32)
    event_id = CharField(max_length=128)
    source = CharField(max_length=8, constraints=[Check("source IN ('booking', 'webhook', 'poll', 'otp', 'staff')")])
    courier_reference = _text(255)
    dispatch = ForeignKeyField(CourierDispatch, column_name="dispatch_id", null=True, on_delete="RESTRICT", index=False)
    raw_status = CharField(max_length=255)
    status = CharField(max_length=16, null=True)
    occurred_at = DateTimeTZField(null=True)
    received_at = DateTimeTZField(constraints=_CLOCK)
    body = BinaryJSONField(default=dict, constraints=[SQL("DEFAULT '{}'")], index=False)
    actor = _text(128)
    reason = TextField(default="", constraints=[SQL("DEFAULT ''")])
    trace_id = _text(64)
    applied_at = DateTimeTZField(null=True)
    effect = CharField(
        max_length=16,
        null=True,
        constraints=[Check("effect IN ('MOVED', 'NOTED', 'BEHIND', 'UNKNOWN', 'UNMATCHED', 'SUPERSEDED')")],
    )
    sealed = BlobField(null=True)

    class Meta:
        table_name = "courier_events"
        constraints = [Check("(applied_at IS NULL) = (effect IS NULL)")]  # noqa: RUF012  (Peewee's own way)
        indexes = ((("courier", "event_id"), True), (("dispatch", "id"), False))


CourierEvent.add_index(CourierEvent.index(CourierEvent.id, where=SQL("applied_at IS NULL"), name="open"))
CourierEvent.add_index(
    CourierEvent.index(
        CourierEvent.courier, CourierEvent.courier_reference, where=SQL("effect = 'UNMATCHED'"), name="unmatched"
    )
)


class OrderChange(Table):
    """A change of a pharmacy order, as those who listen are told of it; written with the change itself."""

    id = AlwaysBigIdentityField(primary_key=True)
    order_id = UUIDField()
    version = BigIntegerField()
    what = CharField(max_length=32)
    payload = BinaryJSONField(index=False)
    trace_id = CharField(max_length=64)
    changed_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "order_changes"
        indexes = ((("order_id", "id"), False),)


@lane_table
class CourierBooking(Dispatch):
    """Lane `courier_booking`: one courier dispatch to be booked with the courier."""

    order = ForeignKeyField(PharmacyOrder, column_name="order_id", on_delete="RESTRICT", index=False)
    courier_dispatch = ForeignKeyField(
        CourierDispatch, column_name="courier_dispatch_id", on_delete="RESTRICT", unique=True
    )
    order_number = CharField(max_length=64)
    attempt = IntegerField()
    courier = CharField(max_length=32)

    class Meta:
        table_name = "courier_bookings"
        indexes = ((("order", "attempt"), True),)


@lane_table
class CourierCancellation(Dispatch):
    """Lane `courier_cancellation`: a booking to be taken back; `request` counts the wishes to, for one dispatch."""

    order = ForeignKeyField(PharmacyOrder, column_name="order_id", on_delete="RESTRICT")
    courier_dispatch = ForeignKeyField(
        CourierDispatch, column_name="courier_dispatch_id", on_delete="RESTRICT", index=False
    )
    request = IntegerField()
    order_number = CharField(max_length=64)
    courier = CharField(max_length=32)
    courier_reference = CharField(max_length=255)

    class Meta:
        table_name = "courier_cancellations"
        indexes = ((("courier_dispatch", "request"), True),)


@lane_table
class CourierMessage(Dispatch):
    """Lane `courier_message`: a delivery code (`about` is its counter) or an update (a status), once per recipient."""

    order = ForeignKeyField(PharmacyOrder, column_name="order_id", on_delete="RESTRICT")
    courier_dispatch = ForeignKeyField(
        CourierDispatch, column_name="courier_dispatch_id", on_delete="RESTRICT", index=False
    )
    order_number = CharField(max_length=64)
    kind = CharField(max_length=16, constraints=[Check("kind IN ('CODE', 'UPDATE')")])
    about = CharField(max_length=32)
    recipient_role = CharField(max_length=16, constraints=[Check("recipient_role IN ('PATIENT', 'PHARMACY')")])
    recipient_email = CharField(max_length=320, null=True)
    sealed = BlobField(null=True)

    class Meta:
        table_name = "courier_messages"
        indexes = ((("courier_dispatch", "kind", "about", "recipient_role"), True),)


class CareParty(Table):
    """Who takes part in tickets: a doctor, a pharmacy (the same id as in `pharmacies`), a laboratory or a patient."""

    id = UUIDField(primary_key=True, default=new_id)
    kind = CharField(max_length=16, constraints=[Check("kind IN ('doctor', 'pharmacy', 'laboratory', 'patient')")])
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    email = CharField(max_length=320, null=True)
    active = BooleanField(default=True, constraints=[SQL("DEFAULT true")])
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "care_parties"
        indexes = ((("kind", "name", "id"), False),)


CareParty.add_index(
    CareParty.index(fn.lower(CareParty.email), where=SQL("kind = 'patient'"), name="care_parties_patient_email")
)
CareParty.add_index(
    CareParty.index(
        fn.to_tsvector(SQL("'simple'"), CareParty.name),
        using="gin",
        where=SQL("kind = 'patient'"),
        name="care_parties_patient_name",
    )
)


class CarePerson(Table):
    """Somebody who signs in and acts for one party. Its id is the person's everywhere: a message's sender, the one that
    row-level security asks for, the one that upstream services name.
    """

    id = UUIDField(primary_key=True, default=new_id)
    party = ForeignKeyField(CareParty, column_name="party_id", on_delete="RESTRICT")
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    user = ForeignKeyField(User, column_name="user_id", null=True, unique=True, on_delete="RESTRICT")
    active = BooleanField(default=True, constraints=[SQL("DEFAULT true")])
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "care_people"


class HealthcareTicket(Table):
    """The single source of truth of one prescription, laboratory request or referral, and of what is said about it."""

    id = UUIDField(primary_key=True, default=new_id)
    ticket_number = CharField(
        max_length=18,
        unique=True,
        collation='"C"',
        constraints=[Check("ticket_number ~ '^TKT-[0-9]{8}-[A-Z0-9]{5}$'")],
    )
    ticket_type = CharField(
        max_length=16, constraints=[Check("ticket_type IN ('prescription', 'lab_request', 'referral')")]
    )
    status = _text(16, "created", Check("status IN ('created', 'sent', 'received', 'ready', 'completed', 'cancelled')"))
    prescription_id = UUIDField(null=True, unique=True)
    appointment_id = UUIDField()
    patient = ForeignKeyField(CareParty, column_name="patient_id", on_delete="RESTRICT", index=False)
    primary_provider = ForeignKeyField(
        CareParty, column_name="primary_provider_id", on_delete="RESTRICT", index=False, backref="written"
    )
    secondary_provider = ForeignKeyField(
        CareParty, column_name="secondary_provider_id", on_delete="RESTRICT", index=False, backref="received"
    )
    sent_at = DateTimeTZField(null=True)
    received_at = DateTimeTZField(null=True)
    ready_at = DateTimeTZField(null=True)
    ended_at = DateTimeTZField(null=True)
    version = BigIntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    trace_id = _text(64)
    created_at = DateTimeTZField(constraints=_CLOCK)
    updated_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "healthcare_tickets"
        constraints = [  # noqa: RUF012  (Peewee's own way)
            Check("primary_provider_id <> secondary_provider_id"),
            Check("status IN ('created', 'cancelled') OR (prescription_id IS NOT NULL AND sent_at IS NOT NULL)"),
            Check("(status IN ('completed', 'cancelled')) = (ended_at IS NOT NULL)"),
        ]
        indexes = (
            (("secondary_provider", "created_at", "id"), False),
            (("appointment_id", "created_at", "id"), False),
            (("primary_provider", "created_at", "id"), False),
            (("primary_provider", "status", "created_at", "id"), False),
            (("patient", "created_at", "id"), False),
            (("created_at", "id"), False),
            (("status", "created_at", "id"), False),
        )


_SENT = SQL("sent_at IS NOT NULL")
_TICKET = HealthcareTicket
for _index in (
    _TICKET.index(
        _TICKET.appointment_id,
        _TICKET.ticket_type,
        unique=True,
        where=SQL("status <> 'cancelled'"),
        name="healthcare_tickets_appointment",
    ),
    _TICKET.index(_TICKET.secondary_provider, _TICKET.sent_at, _TICKET.id, where=_SENT, name="tickets_inbox"),
    _TICKET.index(
        _TICKET.secondary_provider,
        _TICKET.status,
        _TICKET.sent_at,
        _TICKET.id,
        where=_SENT,
        name="tickets_inbox_status",
    ),
):
    HealthcareTicket.add_index(_index)


class Prescription(Table):
    """What a doctor wrote, once it was saved; never changed. Laboratory requests and referrals have one too."""

    id = UUIDField(primary_key=True, default=new_id)
    ticket = ForeignKeyField(HealthcareTicket, column_name="ticket_id", null=True, unique=True, on_delete="RESTRICT")
    appointment_id = UUIDField(index=True)
    patient_id = UUIDField()
    doctor_id = UUIDField()
    pharmacy_id = UUIDField()
    notes = TextField(default="", constraints=[SQL("DEFAULT ''")])
    created_by = UUIDField(null=True)
    is_legacy = BooleanField(default=False, constraints=[SQL("DEFAULT false")])
    created_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "prescriptions"
        constraints = [Check("ticket_id IS NOT NULL OR is_legacy")]  # noqa: RUF012  (Peewee's own way)


Prescription.add_index(Prescription.index(Prescription.id, where=SQL("is_legacy"), name="prescriptions_legacy"))


class PrescriptionItem(Table):
    """A medicine, test or question of a prescription; never changed."""

    prescription = ForeignKeyField(Prescription, column_name="prescription_id", on_delete="RESTRICT", index=False)
    number = SmallIntegerField(constraints=[Check("number > 0")])
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    strength = _text(64)
    form = _text(64)
    dosage = _text(255)
    frequency = _text(255)
    duration = _text(255)
    quantity = _text(64)
    refills = SmallIntegerField(default=0, constraints=[SQL("DEFAULT 0"), Check("refills BETWEEN 0 AND 99")])
    instructions = TextField(default="", constraints=[SQL("DEFAULT ''")])

    class Meta:
        table_name = "prescription_items"
        primary_key = CompositeKey("prescription", "number")


class PrescriptionDraft(Table):
    """What a doctor has written so far; nobody else sees it, and it goes when it is saved."""

    ticket = ForeignKeyField(HealthcareTicket, column_name="ticket_id", primary_key=True, on_delete="RESTRICT")
    document = BinaryJSONField(index=False)
    updated_by = UUIDField()
    updated_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "prescription_drafts"


class ChatThread(Table):
    """The conversation of one ticket. `order_id` is the appointment's id, by which older clients look for it."""

    id = UUIDField(primary_key=True, default=new_id)
    ticket = ForeignKeyField(HealthcareTicket, column_name="ticket_id", null=True, on_delete="RESTRICT", index=False)
    order_id = UUIDField(null=True)
    order_type = _text(32, "prescription")
    is_legacy = BooleanField(default=False, constraints=[SQL("DEFAULT false")])
    last_number = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    last_message_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "chat_threads"
        constraints = [Check("ticket_id IS NOT NULL OR is_legacy")]  # noqa: RUF012  (Peewee's own way)


for _index in (
    ChatThread.index(ChatThread.ticket, unique=True, name="idx_chat_threads_ticket_id"),
    ChatThread.index(ChatThread.order_id, name="idx_chat_threads_order_id"),
    ChatThread.index(ChatThread.id, where=SQL("is_legacy"), name="chat_threads_legacy"),
):
    ChatThread.add_index(_index)


class ChatThreadMember(Table):
    """A party of a thread, and how far it has read."""

    thread = ForeignKeyField(ChatThread, column_name="thread_id", on_delete="RESTRICT", index=False)
    party_id = UUIDField(index=True)
    read_number = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    read_at = DateTimeTZField(null=True)
    read_by = UUIDField(null=True)
    has_unread = BooleanField(default=False, constraints=[SQL("DEFAULT false")])
    unread_since = DateTimeTZField(null=True)
    joined_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "chat_thread_members"
        primary_key = CompositeKey("thread", "party_id")


for _index in (
    ChatThreadMember.index(
        ChatThreadMember.party_id, ChatThreadMember.thread, where=SQL("has_unread"), name="chat_thread_members_unread"
    ),
    ChatThreadMember.index(ChatThreadMember.unread_since, where=SQL("has_unread"), name="chat_thread_members_waiting"),
):
    ChatThreadMember.add_index(_index)


class TicketTimeline(Table):
    """Everything that happened to a ticket, written by the database itself; never changed."""

    id = AlwaysBigIdentityField(primary_key=True)
    ticket = ForeignKeyField(HealthcareTicket, column_name="ticket_id", on_delete="RESTRICT", index=False)
    kind = CharField(max_length=32)
    from_status = CharField(max_length=16, null=True)
    to_status = CharField(max_length=16, null=True)
    detail = BinaryJSONField(index=False, constraints=[SQL("DEFAULT '{}'")])
    reason = TextField(null=True)
    person_id = UUIDField(null=True)
    party_id = UUIDField(null=True)
    actor = CharField(max_length=128)
    at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "ticket_timeline"
        indexes = ((("ticket", "id"), False),)


class ChatMessage(Table):
    """One message; `number` counts within its thread. Never changed."""

    id = UUIDField(primary_key=True, default=new_id)
    thread = ForeignKeyField(ChatThread, column_name="thread_id", on_delete="RESTRICT", index=False)
    number = BigIntegerField(constraints=[Check("number > 0")])
    sender_id = UUIDField()
    sender_party_id = UUIDField(null=True)
    client_message_id = UUIDField()
    body = TextField(constraints=[Check("length(body) <= 8000")])
    attachments = BinaryJSONField(
        index=False, constraints=[SQL("DEFAULT '[]'"), Check("jsonb_typeof(attachments) = 'array'")]
    )
    timeline_id = BigIntegerField(null=True)
    created_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "chat_messages"
        constraints = [Check("body <> '' OR attachments <> '[]'")]  # noqa: RUF012  (Peewee's own way)
        indexes = ((("thread", "number"), True), (("sender_id", "client_message_id"), True))


class EmergencyAccess(Table):
    """A member of staff looks at what is said in a ticket, for a quarter of an hour and with a reason; never changed."""

    id = UUIDField(primary_key=True, default=new_id)
    ticket = ForeignKeyField(HealthcareTicket, column_name="ticket_id", on_delete="RESTRICT", index=False)
    user = ForeignKeyField(User, column_name="user_id", on_delete="RESTRICT")
    reason = TextField(constraints=[Check("length(btrim(reason)) >= 10")])
    opened_at = DateTimeTZField(constraints=_CLOCK)
    expires_at = DateTimeTZField()
    number = AlwaysBigIdentityField(unique=True)

    class Meta:
        table_name = "emergency_accesses"
        constraints = [  # noqa: RUF012  (Peewee's own way)
            Check("expires_at > opened_at AND expires_at <= opened_at + interval '16 minutes'")
        ]
        indexes = ((("ticket", "user", "expires_at"), False),)


class TicketChange(Table):
    """A change of a ticket, as those who listen are told of it, and which parties may hear it; never changed."""

    id = AlwaysBigIdentityField(primary_key=True)
    ticket_id = UUIDField()
    version = BigIntegerField()
    what = CharField(max_length=32)
    payload = BinaryJSONField(index=False)
    audience = ArrayField(UUIDField, index=False)
    trace_id = _text(64)
    changed_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "ticket_changes"
        indexes = ((("ticket_id", "id"), False),)


class TicketBackfillFinding(Table):
    """An old thread or prescription that the backfill left alone, and why."""

    kind = CharField(max_length=16, constraints=[Check("kind IN ('thread', 'prescription')")])
    id = UUIDField()
    code = CharField(max_length=64)
    found_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "ticket_backfill_findings"
        primary_key = CompositeKey("kind", "id")


class TicketMove(Table):
    """A status that may follow another one, and whose provider may say so; the same as in `systems.tickets.states`."""

    from_status = CharField(max_length=16)
    to_status = CharField(max_length=16)
    mover = CharField(max_length=16, constraints=[Check("mover IN ('primary', 'secondary', 'both')")])

    class Meta:
        table_name = "ticket_moves"
        primary_key = CompositeKey("from_status", "to_status")


@lane_table
class TicketNotification(Dispatch):
    """Lane `ticket_notification`: a party is told that there is something for it; `about` makes each one single."""

    ticket = ForeignKeyField(HealthcareTicket, column_name="ticket_id", on_delete="RESTRICT", index=False)
    ticket_number = CharField(max_length=18)
    ticket_type = CharField(max_length=16)
    kind = CharField(max_length=16, constraints=[Check("kind IN ('SENT', 'READY', 'UNREAD', 'CANCELLED')")])
    about = CharField(max_length=64)
    party = ForeignKeyField(CareParty, column_name="party_id", on_delete="RESTRICT")
    recipient_email = CharField(max_length=320, null=True)
    sealed = BlobField(null=True)

    class Meta:
        table_name = "ticket_notifications"
        indexes = ((("ticket", "kind", "about", "party"), True),)


_PURPOSES = "('appt_confirm', 'appt_reminder', 'no_show', 'rx_refill', 'lab_ready', 'campaign_education', 'urgent')"
_CHANNELS = "channel IN ('email', 'sms', 'whatsapp')"
_NOBODY = "'00000000-0000-0000-0000-000000000000'::uuid"
_FALSE: list[Any] = [SQL("DEFAULT false")]
_EMPTY_OBJECT: list[Any] = [SQL("DEFAULT '{}'")]
_EMPTY_LIST: list[Any] = [SQL("DEFAULT '[]'")]
_ONE: list[Any] = [SQL("DEFAULT 1")]


def _channel() -> CharField:
    return CharField(max_length=16, constraints=[Check(_CHANNELS)])


def _count() -> BigIntegerField:
    return BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])


def _country() -> CharField:
    return _text(2, "", Check("country ~ '^([A-Z]{2})?$'"))


class CommOrganization(Table):
    """A clinic or group of clinics, as its name stands in messages to patients."""

    id = UUIDField(primary_key=True, default=new_id)
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    phone = _text(32)
    country = _country()
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_organizations"


class CommProvider(Table):
    """Somebody who treats patients, as the name stands in messages to them."""

    id = UUIDField(primary_key=True, default=new_id)
    organization = ForeignKeyField(CommOrganization, column_name="organization_id", null=True, on_delete="RESTRICT")
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_providers"


class Patient(Table):
    """A patient whom messages may reach. Name and contact data are sealed; `reported_at` says how new they are."""

    id = UUIDField(primary_key=True, default=new_id)
    organization = ForeignKeyField(CommOrganization, column_name="organization_id", null=True, on_delete="RESTRICT")
    provider = ForeignKeyField(CommProvider, column_name="provider_id", null=True, on_delete="RESTRICT")
    name_sealed = BlobField()
    email_sealed = BlobField(null=True)
    phone_sealed = BlobField(null=True)
    country = _country()
    region = _text(16)
    timezone = CharField(max_length=50, null=True)
    language = CharField(max_length=10, null=True)
    active = BooleanField(default=True, constraints=[SQL("DEFAULT true")])
    birth_date = DateField(null=True)
    gender = _text(16, "", Check("gender IN ('', 'male', 'female', 'other', 'unknown')"))
    tags = ArrayField(TextField, default=list, constraints=[SQL("DEFAULT '{}'")], index=False)
    version = BigIntegerField(default=1, constraints=_ONE)
    reported_at = DateTimeTZField(constraints=NOW)
    source = _text(128)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "patients"
        indexes = ((("created_at", "id"), False),)


class PatientName(Table):
    """A keyed hash of each word of a patient's name, by which pages find them."""

    patient = ForeignKeyField(Patient, column_name="patient_id", on_delete="RESTRICT")
    word_hash = BlobField()

    class Meta:
        table_name = "patient_names"
        primary_key = CompositeKey("word_hash", "patient")


class _PreferenceLevel(Table):
    """What may be said at every level; null: not said here, so the next level's counts."""

    timezone = CharField(max_length=50, null=True)
    language = CharField(max_length=10, null=True)
    quiet_start = TimeField(null=True)
    quiet_end = TimeField(null=True)
    work_start = TimeField(null=True)
    work_end = TimeField(null=True)
    best_hour = SmallIntegerField(null=True, constraints=[Check("best_hour BETWEEN 0 AND 23")])
    allow_email = BooleanField(null=True)
    allow_sms = BooleanField(null=True)
    allow_whatsapp = BooleanField(null=True)
    version = BigIntegerField(default=1, constraints=_ONE)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)


class PatientCommPrefs(_PreferenceLevel):
    """What one patient chose. An address here is sealed and goes before the patient's own; marketing needs their yes."""

    id = UUIDField(primary_key=True, default=new_id)
    patient = ForeignKeyField(Patient, column_name="patient_id", unique=True, on_delete="RESTRICT")
    marketing_opt_in_email = BooleanField(default=False, constraints=_FALSE)
    marketing_opt_in_sms = BooleanField(default=False, constraints=_FALSE)
    marketing_opt_in_whatsapp = BooleanField(default=False, constraints=_FALSE)
    email_address = BlobField(null=True)
    sms_number = BlobField(null=True)
    whatsapp_number = BlobField(null=True)

    class Meta:
        table_name = "patient_comm_prefs"


class CommPrefDefaults(_PreferenceLevel):
    """What holds for patients who chose nothing: of a provider, of an organisation, of all."""

    id = UUIDField(primary_key=True, default=new_id)
    level = CharField(max_length=16, constraints=[Check("level IN ('provider', 'organization', 'global')")])
    owner_id = UUIDField(null=True)

    class Meta:
        table_name = "comm_pref_defaults"
        constraints = [Check("(level = 'global') = (owner_id IS NULL)")]  # noqa: RUF012


CommPrefDefaults.add_index(
    CommPrefDefaults.index(
        CommPrefDefaults.level, SQL(f"coalesce(owner_id, {_NOBODY})"), unique=True, name="comm_pref_defaults_of"
    )
)


class CommAddress(Table):
    """A keyed hash of the address by which a channel reaches a patient, to know who answers."""

    patient = ForeignKeyField(Patient, column_name="patient_id", on_delete="RESTRICT", index=False)
    channel = _channel()
    address_hash = BlobField()

    class Meta:
        table_name = "comm_addresses"
        primary_key = CompositeKey("patient", "channel")
        indexes = ((("channel", "address_hash"), False),)


class CommStop(Table):
    """An address at which nothing may arrive by this channel, because whoever has it said so."""

    channel = _channel()
    address_hash = BlobField()
    stopped_at = DateTimeTZField(constraints=_CLOCK)
    source = CharField(max_length=32)

    class Meta:
        table_name = "comm_stops"
        primary_key = CompositeKey("channel", "address_hash")


class CommConsent(Table):
    """Evidence of one yes or no, append-only: who said it, about what, in which words, where from."""

    id = AlwaysBigIdentityField(primary_key=True)
    patient = ForeignKeyField(Patient, column_name="patient_id", null=True, on_delete="RESTRICT", index=False)
    channel = _channel()
    purpose_class = CharField(max_length=16, constraints=[Check("purpose_class IN ('all', 'marketing')")])
    given = BooleanField()
    address_hash = BlobField(null=True)
    wording = TextField(default="", constraints=[SQL("DEFAULT ''")])
    wording_version = _text(64)
    language = _text(10)
    source = CharField(max_length=32)
    actor = CharField(max_length=128)
    evidence = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    ip_address = CharField(max_length=45, null=True)
    user_agent = TextField(null=True)
    at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "comm_consents"
        constraints = [Check("patient_id IS NOT NULL OR address_hash IS NOT NULL")]  # noqa: RUF012
        indexes = ((("patient", "id"), False), (("channel", "address_hash", "id"), False))


class CommTemplate(Table):
    """What is said for a purpose by a channel in a language; the text is that of its present version."""

    id = UUIDField(primary_key=True, default=new_id)
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    purpose = CharField(max_length=32, constraints=[Check(f"purpose IN {_PURPOSES}")])
    channel = _channel()
    language = _text(10, "en")
    subject = CharField(max_length=255, null=True)
    body = TextField()
    variables = BinaryJSONField(default=list, constraints=_EMPTY_LIST, index=False)
    variants = BinaryJSONField(default=list, constraints=_EMPTY_LIST, index=False)
    provider_template = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    is_marketing = BooleanField(default=False, constraints=_FALSE)
    family = _text(64)
    organization = ForeignKeyField(CommOrganization, column_name="organization_id", null=True, on_delete="RESTRICT")
    provider = ForeignKeyField(CommProvider, column_name="provider_id", null=True, on_delete="RESTRICT")
    is_active = BooleanField(default=True, constraints=[SQL("DEFAULT true")])
    version = IntegerField(default=1, constraints=_ONE)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_templates"
        constraints = [  # noqa: RUF012
            Check("organization_id IS NULL OR provider_id IS NULL"),
            Check("(channel = 'email') = (subject IS NOT NULL)"),
        ]
        indexes = ((("purpose", "channel"), False),)


CommTemplate.add_index(
    CommTemplate.index(
        CommTemplate.purpose,
        CommTemplate.channel,
        CommTemplate.language,
        CommTemplate.family,
        SQL(f"coalesce(organization_id, {_NOBODY})"),
        SQL(f"coalesce(provider_id, {_NOBODY})"),
        unique=True,
        where=CommTemplate.is_active,
        name="comm_templates_active",
    )
)


class PatientSegment(Table):
    """A rule by which patients are chosen; who is meant is asked anew each time. `patient_count` is what it last was."""

    id = UUIDField(primary_key=True, default=new_id)
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    description = TextField(default="", constraints=[SQL("DEFAULT ''")])
    rules = BinaryJSONField(index=False)
    organization = ForeignKeyField(CommOrganization, column_name="organization_id", null=True, on_delete="RESTRICT")
    created_by = CharField(max_length=128)
    is_active = BooleanField(default=True, constraints=[SQL("DEFAULT true")], index=True)
    last_evaluated = DateTimeTZField(null=True)
    patient_count = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    evaluation_ms = IntegerField(null=True)
    too_slow_at = DateTimeTZField(null=True)
    version = BigIntegerField(default=1, constraints=_ONE)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "patient_segments"


PatientSegment.add_index(
    PatientSegment.index(
        SQL(f"coalesce(organization_id, {_NOBODY})"),
        fn.lower(PatientSegment.name),
        unique=True,
        where=PatientSegment.is_active,
        name="patient_segments_name",
    )
)


class CommCampaign(Table):
    """What a segment's patients are told, step by step. `audience_at` is when it was settled who they are."""

    id = UUIDField(primary_key=True, default=new_id)
    name = CharField(max_length=255, constraints=[Check("name <> ''")])
    description = TextField(default="", constraints=[SQL("DEFAULT ''")])
    segment = ForeignKeyField(PatientSegment, column_name="segment_id", on_delete="RESTRICT")
    steps = BinaryJSONField(default=list, constraints=_EMPTY_LIST, index=False)
    ab_variants = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    frequency = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    exit_rules = BinaryJSONField(default=list, constraints=_EMPTY_LIST, index=False)
    overlap = _text(16, "refuse", Check("overlap IN ('refuse', 'exclude', 'allow')"))
    language_fallback = BooleanField(default=False, constraints=_FALSE)
    control_percent = SmallIntegerField(
        default=0, constraints=[SQL("DEFAULT 0"), Check("control_percent BETWEEN 0 AND 50")]
    )
    timezone = _text(50, "America/New_York")
    organization = ForeignKeyField(
        CommOrganization, column_name="organization_id", null=True, on_delete="RESTRICT", index=False
    )
    created_by = CharField(max_length=128)
    status = _text(16, "draft", Check("status IN ('draft', 'active', 'paused', 'completed')"))
    start_date = DateField(null=True)
    end_date = DateField(null=True)
    started_at = DateTimeTZField(null=True)
    started_by = CharField(max_length=128, null=True)
    ended_at = DateTimeTZField(null=True)
    ended_by = CharField(max_length=128, null=True)
    ended_reason = _text(16, "", Check("ended_reason IN ('', 'finished', 'end_date', 'stopped')"))
    audience_at = DateTimeTZField(null=True)
    audience = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    expanded_to = UUIDField(null=True)
    expanded_at = DateTimeTZField(null=True)
    winner = CharField(max_length=50, null=True)
    winner_at = DateTimeTZField(null=True)
    winner_by = CharField(max_length=128, null=True)
    version = BigIntegerField(default=1, constraints=_ONE)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_campaigns"
        constraints = [  # noqa: RUF012
            Check("end_date >= start_date"),
            Check("(status = 'completed') = (ended_at IS NOT NULL)"),
            Check("(status = 'completed') = (ended_reason <> '')"),
        ]
        indexes = ((("organization", "status"), False), (("created_at", "id"), False))


class CommCampaignAudience(Table):
    """Who is in a campaign, as its segment had it in the one moment in which it was begun."""

    campaign_id = UUIDField()
    patient_id = UUIDField()

    class Meta:
        table_name = "comm_campaign_audience"
        primary_key = CompositeKey("campaign_id", "patient_id")


class CommCampaignSend(Table):
    """One step for one patient: what is planned, and what became of it. WAITING until `due_at`, then decided once."""

    campaign_id = UUIDField()
    step = CharField(max_length=64)
    patient_id = UUIDField(index=True)
    variant = _text(50)
    state = _text(16, "WAITING", Check("state IN ('WAITING', 'MADE', 'SKIPPED', 'HELD_OUT')"))
    due_at = DateTimeTZField()
    reason = _text(32)
    job_id = UUIDField(null=True)
    decided_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "comm_campaign_sends"
        primary_key = CompositeKey("campaign_id", "step", "patient_id")
        constraints = [  # noqa: RUF012
            Check("(state = 'MADE') = (job_id IS NOT NULL)"),
            Check("(state = 'WAITING') = (decided_at IS NULL)"),
        ]


class CommCampaignReport(Table):
    """What was counted of a large campaign, when, and how long that took; a page reads it instead of counting."""

    campaign = ForeignKeyField(
        CommCampaign, column_name="campaign_id", primary_key=True, on_delete="RESTRICT", index=False
    )
    counted = BinaryJSONField(index=False)
    seconds = DoubleField(constraints=[Check("seconds >= 0")])
    taken_at = DateTimeTZField()

    class Meta:
        table_name = "comm_campaign_reports"


for _index in (
    CommCampaignSend.index(
        CommCampaignSend.campaign_id,
        CommCampaignSend.due_at,
        CommCampaignSend.patient_id,
        where=CommCampaignSend.state == SQL("'WAITING'"),
        name="comm_campaign_sends_due",
    ),
    CommCampaignSend.index(
        CommCampaignSend.job_id, where=CommCampaignSend.job_id.is_null(False), name="comm_campaign_sends_job"
    ),
):
    CommCampaignSend.add_index(_index)


class CommTemplateVersion(Table):
    """One version of a template, append-only."""

    template = ForeignKeyField(CommTemplate, column_name="template_id", on_delete="RESTRICT", index=False)
    version = IntegerField(constraints=[Check("version > 0")])
    subject = CharField(max_length=255, null=True)
    body = TextField()
    variables = BinaryJSONField(default=list, constraints=_EMPTY_LIST, index=False)
    variants = BinaryJSONField(default=list, constraints=_EMPTY_LIST, index=False)
    provider_template = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    note = _text(500)
    written_by = CharField(max_length=128)
    written_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "comm_template_versions"
        primary_key = CompositeKey("template", "version")


class CommAppointment(Table):
    """An appointment as the core platform reported it, and whether the patient confirmed it."""

    id = UUIDField(primary_key=True, default=new_id)
    patient = ForeignKeyField(Patient, column_name="patient_id", on_delete="RESTRICT", index=False)
    provider = ForeignKeyField(CommProvider, column_name="provider_id", null=True, on_delete="RESTRICT")
    starts_at = DateTimeTZField()
    timezone = _text(50)
    place = _text(255)
    status = _text(
        24,
        "scheduled",
        Check("status IN ('scheduled', 'confirmed', 'reschedule_requested', 'cancelled', 'completed', 'no_show')"),
    )
    confirmed_at = DateTimeTZField(null=True)
    confirmed_by = CharField(max_length=128, null=True)
    version = BigIntegerField(default=1, constraints=_ONE)
    reported_at = DateTimeTZField(constraints=NOW)
    source = _text(128)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_appointments"
        indexes = ((("patient", "starts_at"), False), (("starts_at", "id"), False))


CommAppointment.add_index(
    CommAppointment.index(
        CommAppointment.starts_at,
        CommAppointment.patient,
        CommAppointment.status,
        CommAppointment.provider,
        name="comm_appointments_segments",
    )
)


class CommCoreEvent(Table):
    """An event of the core platform that was taken in, once; what it led to stands in `effect`. Append-only."""

    source = CharField(max_length=128)
    event_id = CharField(max_length=128)
    kind = CharField(max_length=64)
    subject_id = UUIDField(null=True)
    occurred_at = DateTimeTZField(null=True)
    document_sha256 = BlobField()
    effect = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    received_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "comm_core_events"
        primary_key = CompositeKey("source", "event_id")
        indexes = ((("subject_id", "received_at"), False),)


@lane_table
class CommJob(Dispatch):
    """Lane `comm_job`: one message to a patient by one channel. Its text is fixed when it is scheduled.

    `decision` says why this channel and this time, or why it is not sent; `route` by which provider it leaves. What is
    heard of it after it was sent stands in the columns from `delivered_at` on.
    """

    route = CharField(max_length=64)
    patient = ForeignKeyField(Patient, column_name="patient_id", on_delete="RESTRICT", index=False)
    template = ForeignKeyField(CommTemplate, column_name="template_id", on_delete="RESTRICT", index=False)
    template_version = IntegerField()
    campaign = ForeignKeyField(CommCampaign, column_name="campaign_id", null=True, on_delete="RESTRICT", index=False)
    appointment = ForeignKeyField(
        CommAppointment, column_name="appointment_id", null=True, on_delete="RESTRICT", index=False
    )
    organization_id = UUIDField(null=True)
    provider_id = UUIDField(null=True)
    purpose = CharField(max_length=50, constraints=[Check(f"purpose IN {_PURPOSES}")])
    channel = _channel()
    language = CharField(max_length=10)
    is_marketing = BooleanField(default=False, constraints=_FALSE)
    recipient = CharField(max_length=255)
    recipient_hash = BlobField(null=True)
    subject = CharField(max_length=255, null=True)
    body = TextField()
    provider_template = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    variables = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    preferences_link = _text(512, "")
    scheduled_at = DateTimeTZField()
    is_urgent = BooleanField(default=False, constraints=_FALSE)
    ab_variant = CharField(max_length=50, null=True)
    decision = BinaryJSONField(index=False)
    asks = _text(24, "", Check("asks IN ('', 'confirmation')"))
    answered_at = DateTimeTZField(null=True)
    fallback_of = UUIDField(null=True)
    fallback_decided_at = DateTimeTZField(null=True)
    delivered_at = DateTimeTZField(null=True)
    opened_at = DateTimeTZField(null=True)
    clicked_at = DateTimeTZField(null=True)
    replied_at = DateTimeTZField(null=True)
    bounced_at = DateTimeTZField(null=True)
    bounce_code = CharField(max_length=64, null=True)
    unsubscribed_at = DateTimeTZField(null=True)
    request_key = CharField(max_length=255, null=True, unique=True)
    request_sha256 = BlobField(null=True)
    campaign_step = CharField(max_length=64, null=True)
    sealed = BlobField(null=True)

    class Meta:
        table_name = "comm_jobs"
        indexes = (
            (("patient", "status"), False),
            (("patient", "scheduled_at", "id"), False),
            (("scheduled_at", "status"), False),
        )


for _index in (
    CommJob.index(
        CommJob.provider_message_id, where=CommJob.provider_message_id.is_null(False), name="comm_jobs_message"
    ),
    CommJob.index(CommJob.campaign, where=CommJob.campaign.is_null(False), name="comm_jobs_campaign"),
    CommJob.index(
        CommJob.appointment,
        CommJob.sent_at,
        CommJob.purpose,
        CommJob.channel,
        where=CommJob.appointment.is_null(False),
        name="comm_jobs_appointment",
    ),
    CommJob.index(CommJob.route, CommJob.due_at, where=CommJob.status == SQL("'PENDING'"), name="comm_jobs_routes"),
    CommJob.index(
        CommJob.channel,
        CommJob.recipient_hash,
        CommJob.sent_at,
        where=CommJob.sent_at.is_null(False),
        name="comm_jobs_recipient",
    ),
    CommJob.index(
        CommJob.channel,
        CommJob.recipient_hash,
        where=CommJob.status.in_([SQL("'PENDING'"), SQL("'QUEUED'")]),
        name="comm_jobs_open",
    ),
    CommJob.index(
        CommJob.updated_at,
        where=SQL("fallback_decided_at IS NULL AND NOT in_doubt AND (status = 'FAILED' OR bounced_at IS NOT NULL)"),
        name="comm_jobs_undecided",
    ),
    CommJob.index(
        CommJob.route,
        CommJob.status,
        CommJob.in_doubt,
        CommJob.updated_at,
        CommJob.id,
        where=(CommJob.seq > SQL("0")) & (CommJob.status != SQL("'QUEUED'")),
        name="comm_jobs_by_route",
    ),
    CommJob.index(
        CommJob.route,
        CommJob.last_error_code,
        CommJob.updated_at,
        CommJob.id,
        where=SQL("status = 'FAILED' AND NOT in_doubt"),
        name="comm_jobs_failures",
    ),
    CommJob.index(CommJob.bounced_at, CommJob.id, where=CommJob.bounced_at.is_null(False), name="comm_jobs_bounced"),
    CommJob.index(CommJob.fallback_of, where=CommJob.fallback_of.is_null(False), name="comm_jobs_fallback"),
    # All that segments ask of messages, so that none of the wide rows is read for them.
    CommJob.index(
        CommJob.sent_at,
        CommJob.patient,
        CommJob.channel,
        CommJob.purpose,
        CommJob.campaign,
        CommJob.delivered_at,
        CommJob.opened_at,
        CommJob.clicked_at,
        CommJob.replied_at,
        CommJob.bounced_at,
        CommJob.unsubscribed_at,
        where=CommJob.sent_at.is_null(False),
        name="comm_jobs_segments",
    ),
    CommJob.index(
        CommJob.opened_at,
        CommJob.patient,
        CommJob.channel,
        CommJob.purpose,
        CommJob.campaign,
        CommJob.sent_at,
        where=CommJob.opened_at.is_null(False),
        name="comm_jobs_opened",
    ),
    CommJob.index(
        CommJob.campaign,
        where=SQL("campaign_id IS NOT NULL AND status IN ('PENDING', 'QUEUED')"),
        name="comm_jobs_campaign_open",
    ),
):
    CommJob.add_index(_index)


class CommEvent(Table):
    """What a provider told of a message: stored once per event, applied by rank afterwards."""

    id = AlwaysBigIdentityField(primary_key=True)
    provider = CharField(max_length=16, constraints=[Check("provider IN ('sendgrid', 'twilio', 'whatsapp')")])
    event_key = CharField(max_length=128)
    source = CharField(max_length=16, constraints=[Check("source IN ('native', 'generic')")])
    provider_message_id = _text(255)
    job_id = UUIDField(null=True)
    raw_status = CharField(max_length=64)
    status = CharField(max_length=16, null=True)
    code = _text(64)
    occurred_at = DateTimeTZField(null=True)
    received_at = DateTimeTZField(constraints=_CLOCK)
    body = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    trace_id = _text(64)
    applied_at = DateTimeTZField(null=True)
    effect = CharField(
        max_length=16,
        null=True,
        constraints=[Check("effect IN ('MOVED', 'NOTED', 'BEHIND', 'UNKNOWN', 'UNMATCHED')")],
    )

    class Meta:
        table_name = "comm_events"
        constraints = [Check("(applied_at IS NULL) = (effect IS NULL)")]  # noqa: RUF012
        indexes = ((("provider", "event_key"), True), (("provider", "received_at"), False))


for _index in (
    CommEvent.index(CommEvent.id, where=CommEvent.applied_at.is_null(), name="comm_events_open"),
    CommEvent.index(
        CommEvent.id,
        where=SQL(
            "applied_at IS NULL AND (raw_status IN ('spamreport', 'unsubscribe', 'group_unsubscribe')"
            " OR code IN ('21610', 'SPAM_REPORTING_ADDRESS', 'UNSUBSCRIBED_ADDRESS', '131050'))"
        ),
        name="comm_events_withdrawals",
    ),
    CommEvent.index(CommEvent.received_at, where=CommEvent.effect == SQL("'UNMATCHED'"), name="comm_events_unmatched"),
    CommEvent.index(CommEvent.job_id, CommEvent.id, where=CommEvent.job_id.is_null(False), name="comm_events_job"),
):
    CommEvent.add_index(_index)


class CommInbound(Table):
    """What a patient wrote back, what it was taken to mean, and what was done; unsure ones wait for a person."""

    id = UUIDField(primary_key=True, default=new_id)
    patient = ForeignKeyField(Patient, column_name="patient_id", null=True, on_delete="RESTRICT", index=False)
    channel = _channel()
    from_address = CharField(max_length=255)
    to_address = CharField(max_length=255)
    body = TextField()
    intent = CharField(
        max_length=16,
        null=True,
        constraints=[Check("intent IN ('confirm', 'reschedule', 'stop', 'start', 'help', 'other')")],
    )
    confidence = DoubleField(null=True)
    language = CharField(max_length=10, null=True)
    related_job = ForeignKeyField(CommJob, column_name="related_job_id", null=True, on_delete="RESTRICT", index=False)
    provider = CharField(max_length=16)
    provider_message_id = _text(255)
    event_key = CharField(max_length=128)
    source = CharField(max_length=16, constraints=[Check("source IN ('native', 'generic')")])
    sent_at = DateTimeTZField(null=True)
    parsed_at = DateTimeTZField(null=True)
    action = _text(32)
    waits_for_person = BooleanField(default=False, constraints=_FALSE)
    processed = BooleanField(default=False, constraints=_FALSE)
    processed_at = DateTimeTZField(null=True)
    processed_by = CharField(max_length=128, null=True)
    note = _text(500)
    trace_id = _text(64)
    created_at = DateTimeTZField(constraints=_CLOCK)
    sealed = BlobField(null=True)

    class Meta:
        table_name = "comm_inbound"
        constraints = [Check("processed = (processed_at IS NOT NULL)")]  # noqa: RUF012
        indexes = (
            (("provider", "event_key"), True),
            (("patient", "channel"), False),
            (("patient", "created_at"), False),
            (("processed", "created_at", "id"), False),
            (("provider_message_id",), False),
            (("channel", "from_address", "created_at"), False),
        )


for _index in (
    CommInbound.index(CommInbound.related_job, where=CommInbound.related_job.is_null(False), name="comm_inbound_job"),
    CommInbound.index(CommInbound.created_at, where=CommInbound.parsed_at.is_null(), name="comm_inbound_open"),
    CommInbound.index(
        CommInbound.channel,
        CommInbound.from_address,
        where=CommInbound.parsed_at.is_null(),
        name="comm_inbound_unread",
    ),
    CommInbound.index(
        CommInbound.created_at,
        CommInbound.id,
        where=SQL("waits_for_person AND NOT processed"),
        name="comm_inbound_waiting",
    ),
):
    CommInbound.add_index(_index)


class CommRescheduleRequest(Table):
    """A patient asked for another time; one is open per appointment until somebody has dealt with it."""

    id = UUIDField(primary_key=True, default=new_id)
    appointment = ForeignKeyField(CommAppointment, column_name="appointment_id", on_delete="RESTRICT", index=False)
    patient = ForeignKeyField(Patient, column_name="patient_id", on_delete="RESTRICT")
    inbound = ForeignKeyField(CommInbound, column_name="inbound_id", null=True, on_delete="RESTRICT")
    status = _text(16, "open", Check("status IN ('open', 'handled')"))
    handled_by = CharField(max_length=128, null=True)
    handled_at = DateTimeTZField(null=True)
    note = _text(500)
    created_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "comm_reschedule_requests"
        constraints = [Check("(status = 'handled') = (handled_at IS NOT NULL)")]  # noqa: RUF012
        indexes = ((("status", "created_at"), False),)


CommRescheduleRequest.add_index(
    CommRescheduleRequest.index(
        CommRescheduleRequest.appointment,
        unique=True,
        where=CommRescheduleRequest.status == SQL("'open'"),
        name="comm_reschedule_requests_open",
    )
)


class CommPortalToken(Table):
    """A link that a patient opens without signing in: to read one message, or to choose how to be reached.

    Only its hash is kept. `content_sealed` is the text that may not stand in the message itself.
    """

    id = UUIDField(primary_key=True, default=new_id)
    token_hash = BlobField(unique=True)
    kind = CharField(max_length=16, constraints=[Check("kind IN ('message', 'preferences')")])
    patient = ForeignKeyField(Patient, column_name="patient_id", on_delete="RESTRICT", index=False)
    job_id = UUIDField(null=True)
    channel = CharField(max_length=16, null=True, constraints=[Check(_CHANNELS)])
    marketing = BooleanField(default=False, constraints=_FALSE)
    content_sealed = BlobField(null=True)
    expires_at = DateTimeTZField()
    revoked_at = DateTimeTZField(null=True)
    first_opened_at = DateTimeTZField(null=True)
    opens = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])
    created_at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "comm_portal_tokens"
        indexes = ((("patient", "created_at"), False),)


CommPortalToken.add_index(
    CommPortalToken.index(
        CommPortalToken.job_id, where=CommPortalToken.job_id.is_null(False), name="comm_portal_tokens_job"
    )
)


class CommAuditLog(Table):
    """Who did what with a patient's communication, append-only."""

    id = AlwaysBigIdentityField(primary_key=True)
    patient = ForeignKeyField(Patient, column_name="patient_id", null=True, on_delete="RESTRICT", index=False)
    user_id = IntegerField(null=True)
    action = CharField(
        max_length=24,
        constraints=[Check("action IN ('send', 'receive', 'opt_out', 'opt_in', 'preference_change', 'access')")],
    )
    actor = CharField(max_length=128)
    details = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    ip_address = CharField(max_length=45, null=True)
    user_agent = TextField(null=True)
    created_at = DateTimeTZField(index=True, constraints=_CLOCK)

    class Meta:
        table_name = "comm_audit_log"
        indexes = ((("patient", "action"), False), (("patient", "id"), False))


class _Counted(Table):
    """How many messages were sent, and of how many of them what was heard."""

    sent_count = _count()
    delivered_count = _count()
    opened_count = _count()
    clicked_count = _count()
    replied_count = _count()
    bounced_count = _count()
    unsubscribed_count = _count()


class CommStats(_Counted):
    """What was sent on a day (UTC) and what became of that; equal to what counting `comm_jobs` gives."""

    id = AlwaysBigIdentityField(primary_key=True)
    date = DateField()
    organization_id = UUIDField(null=True)
    provider_id = UUIDField(null=True)
    channel = _channel()
    purpose = CharField(max_length=50)
    created_at = DateTimeTZField(constraints=NOW)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_stats"
        indexes = ((("date", "organization_id"), False), (("channel", "purpose"), False))
        constraints = [  # noqa: RUF012
            SQL("UNIQUE NULLS NOT DISTINCT (date, organization_id, provider_id, channel, purpose)")
        ]


class CommCampaignStats(_Counted):
    """The same of a campaign's messages, by step, variant and channel."""

    campaign = ForeignKeyField(CommCampaign, column_name="campaign_id", on_delete="RESTRICT", index=False)
    step = _text(64)
    variant = _text(50)
    channel = _channel()
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_campaign_stats"
        primary_key = CompositeKey("campaign", "step", "variant", "channel")


class CommStatChange(_Counted):
    """What changed of a message and is not counted yet."""

    id = AlwaysBigIdentityField(primary_key=True)
    date = DateField()
    organization_id = UUIDField(null=True)
    provider_id = UUIDField(null=True)
    channel = CharField(max_length=16)
    purpose = CharField(max_length=50)
    campaign_id = UUIDField(null=True)
    step = _text(64)
    variant = _text(50)
    at = DateTimeTZField(constraints=_CLOCK)

    class Meta:
        table_name = "comm_stat_changes"


class CommRates(Table):
    """What a message costs and what a kept appointment is worth, for everybody or one organisation."""

    id = UUIDField(primary_key=True, default=new_id)
    organization = ForeignKeyField(
        CommOrganization, column_name="organization_id", null=True, on_delete="RESTRICT", index=False
    )
    currency = CharField(max_length=3, constraints=[Check("currency ~ '^[A-Z]{3}$'")])
    visit_value = DecimalField(max_digits=12, decimal_places=2, constraints=[Check("visit_value >= 0")])
    email_cost = DecimalField(max_digits=10, decimal_places=5, constraints=[Check("email_cost >= 0")])
    sms_cost = DecimalField(max_digits=10, decimal_places=5, constraints=[Check("sms_cost >= 0")])
    whatsapp_cost = DecimalField(max_digits=10, decimal_places=5, constraints=[Check("whatsapp_cost >= 0")])
    baseline_no_show = DecimalField(
        max_digits=5, decimal_places=4, null=True, constraints=[Check("baseline_no_show BETWEEN 0 AND 1")]
    )
    version = BigIntegerField(default=1, constraints=_ONE)
    updated_by = CharField(max_length=128)
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_rates"
        constraints = [SQL("UNIQUE NULLS NOT DISTINCT (organization_id)")]  # noqa: RUF012


_KINDS = "kind IN ('hour', 'channel', 'content')"


class CommOptimiser(Table):
    """Whether the optimiser may decide the hour, the channel or the text, and what spoke for it when it was turned on."""

    kind = CharField(max_length=16, primary_key=True, constraints=[Check(_KINDS)])
    mode = _text(16, "off", Check("mode IN ('off', 'learning', 'on')"))
    evidence = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    reason = _text(500)
    version = BigIntegerField(default=1, constraints=_ONE)
    changed_by = CharField(max_length=128)
    changed_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_optimiser"


class CommChoice(Table):
    """What was chosen for a message among `arms`, each with its probability, and what became of it."""

    job = ForeignKeyField(CommJob, column_name="job_id", on_delete="RESTRICT", index=False)
    kind = CharField(max_length=16, constraints=[Check(_KINDS)])
    context = CharField(max_length=64)
    patient_id = UUIDField(index=True)
    organization_id = UUIDField(null=True)
    campaign_id = UUIDField(null=True)
    purpose = CharField(max_length=50)
    channel = _channel()
    weekday = SmallIntegerField(constraints=[Check("weekday BETWEEN 0 AND 6")])
    policy = CharField(max_length=16, constraints=[Check("policy IN ('holdout', 'explore', 'optimiser')")])
    arms = BinaryJSONField(index=False)
    arm = CharField(max_length=64)
    propensity = DoubleField(constraints=[Check("propensity > 0 AND propensity <= 1")])
    chosen_at = DateTimeTZField(constraints=_CLOCK)
    look_at = DateTimeTZField(null=True)
    reward = SmallIntegerField(null=True, constraints=[Check("reward IN (0, 1)")])
    void = BooleanField(default=False, constraints=_FALSE)
    opted_out = BooleanField(null=True)
    closed_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "comm_choices"
        primary_key = CompositeKey("job", "kind")
        constraints = [  # noqa: RUF012
            Check("(closed_at IS NOT NULL) = (void OR reward IS NOT NULL)"),
            Check("NOT void OR reward IS NULL"),
        ]


for _index in (
    CommChoice.index(
        CommChoice.look_at,
        CommChoice.job,
        CommChoice.kind,
        where=CommChoice.look_at.is_null(False),
        name="comm_choices_look",
    ),
    CommChoice.index(
        CommChoice.kind,
        CommChoice.chosen_at,
        CommChoice.job,
        where=CommChoice.reward.is_null(False),
        name="comm_choices_closed",
    ),
    CommChoice.index(CommChoice.kind, CommChoice.chosen_at, CommChoice.job, name="comm_choices_latest"),
):
    CommChoice.add_index(_index)


class CommLearned(Table):
    """How often an arm was tried and won: for everybody, for an organisation's patients, for one patient."""

    kind = CharField(max_length=16, constraints=[Check(_KINDS)])
    context = CharField(max_length=64)
    scope = CharField(max_length=16, constraints=[Check("scope IN ('global', 'organization', 'patient')")])
    scope_id = UUIDField()
    arm = CharField(max_length=64)
    tries = DoubleField(default=0, constraints=[SQL("DEFAULT 0"), Check("tries >= 0")])
    wins = DoubleField(default=0, constraints=[SQL("DEFAULT 0"), Check("wins BETWEEN 0 AND tries")])
    updated_at = DateTimeTZField(constraints=NOW)

    class Meta:
        table_name = "comm_learned"
        primary_key = CompositeKey("scope_id", "kind", "context", "scope", "arm")


LANE_TABLES: tuple[type[Dispatch], ...] = (
    KitRegistration,
    HealthInformationDispatchLog,
    Hl7Message,
    CourierBooking,
    CourierCancellation,
    CourierMessage,
    TicketNotification,
    CommJob,
)


class PatientRead(Table):
    """A page or an answer that showed patients' data: to whom, what, and on what ground; append-only."""

    id = AlwaysBigIdentityField(primary_key=True)
    at = DateTimeTZField(constraints=_CLOCK)
    actor = CharField(max_length=128)
    user_id = IntegerField(null=True)
    what = CharField(max_length=64)
    subject = _text(200)
    why = CharField(max_length=200)
    filter = BinaryJSONField(default=dict, constraints=_EMPTY_OBJECT, index=False)
    trace_id = _text(64)
    ip_address = CharField(max_length=45, null=True)
    database_user = CharField(max_length=64, constraints=[SQL("DEFAULT session_user")])

    class Meta:
        table_name = "patient_reads"
        indexes = ((("at", "id"), False), (("actor", "id"), False), (("subject", "id"), False))


class AuditSeal(Table):
    """A batch of one source's rows, sealed: each seal holds the one before it; append-only."""

    number = BigIntegerField(primary_key=True)
    source = CharField(max_length=64)
    after_id = BigIntegerField()
    last_id = BigIntegerField()
    row_count = IntegerField(constraints=[Check("row_count > 0")])
    encoding = SmallIntegerField()
    salt = BlobField()
    digest = BlobField()
    previous = BlobField()
    chained = BlobField()
    sealed_at = DateTimeTZField(index=True)

    class Meta:
        table_name = "audit_seals"
        indexes = ((("source", "last_id"), True),)


class AuditAnchor(Table):
    """That the head of the chain was written to a file elsewhere; append-only."""

    id = AlwaysBigIdentityField(primary_key=True)
    number = BigIntegerField(index=True)
    chained = BlobField()
    at = DateTimeTZField(constraints=_CLOCK)
    file = CharField(max_length=255)

    class Meta:
        table_name = "audit_anchors"


class AuditCheck(Table):
    """That the chain was verified, and what was found; append-only."""

    id = AlwaysBigIdentityField(primary_key=True)
    at = DateTimeTZField(constraints=_CLOCK)
    first_number = BigIntegerField()
    last_number = BigIntegerField()
    row_count = BigIntegerField()
    anchors = IntegerField()
    findings = BinaryJSONField(index=False, constraints=[SQL("DEFAULT '[]'")])
    checked_by = CharField(max_length=128)

    class Meta:
        table_name = "audit_checks"


class AuditPruning(Table):
    """That rows of whole sealed batches were taken away by retention; append-only, and sealed itself."""

    id = AlwaysBigIdentityField(primary_key=True)
    at = DateTimeTZField(constraints=_CLOCK)
    through = BigIntegerField()
    before = DateTimeTZField()
    row_count = BigIntegerField()
    sources = ArrayField(TextField, index=False)
    reason = TextField()
    database_user = CharField(max_length=64, constraints=[SQL("DEFAULT session_user")])

    class Meta:
        table_name = "audit_prunings"


ALL_TABLES: tuple[type[Table], ...] = (
    *ENGINE_TABLES,
    Practitioner,
    Order,
    OrderKit,
    OrderRegistration,
    School,
    Hl7Endpoint,
    Visit,
    Pharmacy,
    PharmacyOrder,
    PharmacyOrderItem,
    CourierDispatch,
    CourierEvent,
    OrderChange,
    CareParty,
    CarePerson,
    HealthcareTicket,
    Prescription,
    PrescriptionItem,
    PrescriptionDraft,
    ChatThread,
    ChatThreadMember,
    TicketTimeline,
    ChatMessage,
    EmergencyAccess,
    TicketChange,
    TicketBackfillFinding,
    TicketMove,
    CommOrganization,
    CommProvider,
    Patient,
    PatientName,
    PatientCommPrefs,
    CommPrefDefaults,
    CommAddress,
    CommStop,
    CommConsent,
    CommTemplate,
    PatientSegment,
    CommCampaign,
    CommCampaignAudience,
    CommCampaignSend,
    CommCampaignReport,
    CommTemplateVersion,
    CommAppointment,
    CommCoreEvent,
    *LANE_TABLES,
    CommEvent,
    CommInbound,
    CommRescheduleRequest,
    CommPortalToken,
    CommAuditLog,
    CommStats,
    CommCampaignStats,
    CommStatChange,
    CommRates,
    CommOptimiser,
    CommChoice,
    CommLearned,
    Role,
    User,
    UserRoles,
    SecondFactor,
    RecoveryCode,
    DataKey,
    WebSession,
    SignInFailure,
    ServiceToken,
    BulkRun,
    BulkItem,
    DispatchHold,
    DispatchAlert,
    DispatchAlertNotice,
    DispatchAlertCheck,
    DispatchCount,
    DispatchCounted,
    PatientRead,
    AuditSeal,
    AuditAnchor,
    AuditCheck,
    AuditPruning,
    DispatchAttemptCount,
    DispatchAttemptsCounted,
)
