"""Every table of the systems, as Peewee models: columns, indexes and checks, no behaviour.

Moves, triggers and grants live in the migrations; the rules live in `dispatchlog.systems`.
"""

from __future__ import annotations

from peewee import (
    SQL,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    ForeignKeyField,
    IdentityField,
    IntegerField,
    TextField,
    UUIDField,
    fn,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField

from dispatchlog.engine.tables import ENGINE_TABLES, NOW, AlwaysBigIdentityField, Dispatch, Table, lane_table, new_id
from dispatchlog.settings import get_settings

_settings = get_settings()
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
        constraints=[Check("scopes <@ '{orders:write,orders:read,dispatches:read,dispatches:act}' AND scopes <> '{}'")],
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


LANE_TABLES: tuple[type[Dispatch], ...] = (KitRegistration, HealthInformationDispatchLog)
ALL_TABLES: tuple[type[Table], ...] = (
    *ENGINE_TABLES,
    Practitioner,
    Order,
    OrderKit,
    OrderRegistration,
    *LANE_TABLES,
    Role,
    User,
    UserRoles,
    SecondFactor,
    RecoveryCode,
    WebSession,
    SignInFailure,
    ServiceToken,
)
