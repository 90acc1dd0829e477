"""Settings: the environment, validated and read once. Owns every default; knows no lane and no provider."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from dispatchlog.reach import LOOPBACK, NAMEABLE, Network
from dispatchlog.setting_names import refuse_unknown

_LEAST_SECRET = 16


class Settings(BaseSettings):
    """All settings. `DATABASE_URL`, `REDIS_URL`, `BROKER_URL` and `PORT` have no prefix; the rest begin `DISPATCHLOG_`."""

    model_config = SettingsConfigDict(env_prefix="DISPATCHLOG_", extra="ignore", frozen=True, populate_by_name=True)

    environment: Literal["development", "production"] = "development"
    database_url: str = Field("", validation_alias="DATABASE_URL")
    database_owner_url: str = Field("", validation_alias="DATABASE_OWNER_URL")
    redis_url: str = Field("", validation_alias="REDIS_URL")
    broker_url: str = Field("", validation_alias="BROKER_URL")
    port: int = Field(8000, validation_alias="PORT", ge=1, le=65535)
    bind_host: str = "127.0.0.1"
    trusted_proxies: int = Field(0, ge=0, le=10)
    public_url: str = ""
    var_dir: Path = Path("var")
    secret_key: SecretStr = SecretStr("")
    # What it was before, the latest first, with commas between them: it still opens and verifies what it closed and signed.
    old_secret_keys: SecretStr = SecretStr("")
    # Whether what rows say of patients is sealed as it is written. Off only while an older release still runs beside this.
    seal_content: bool = True
    application_role: str = "dispatchlog_app"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Hours of the day, UTC, in which old data leave: from the first until the second begins. The same twice: never.
    retention_from_hour: int = Field(1, ge=0, le=23)
    retention_until_hour: int = Field(5, ge=0, le=23)
    # For so long the law wants a medical record kept, whatever its patient asks for; 0 where it says nothing.
    medical_record_years: int = Field(10, ge=0, le=100)

    worker_processes: int = Field(2, ge=1, le=64)
    worker_threads: int = Field(8, ge=2, le=64)
    # Names with commas between them; none: every lane.
    worker_lanes: str = ""

    smtp_url: str = "smtp://127.0.0.1:2525?tls=none"
    mail_from: str = "Dispatch Desk <forms@dispatchlog.localhost>"
    mail_reply_to: str = ""
    mail_deadline_seconds: float = Field(20.0, gt=0)
    template_dir: Path | None = None

    kit_registry_url: str = ""
    kit_registry_token: SecretStr = SecretStr("")
    kit_registry_key_retention_seconds: int = Field(86_400, gt=0)

    form_url: str = ""
    form_link_days: int = Field(30, ge=1, le=365)
    health_information_delay_seconds: int = Field(86_400, ge=0)
    health_information_max_attempts: int = Field(5, ge=1, le=50)
    sweep_seconds: int = Field(3_600, ge=1, le=86_400)

    hl7_max_age_seconds: int = Field(86_400, ge=1)

    # Who brings pharmacy orders; "": nobody yet. The others are still asked about what they have.
    courier: Literal["", "kwik", "generic"] = ""
    courier_url: str = ""
    courier_token: SecretStr = SecretStr("")
    # Several with commas between them, while one replaces another.
    courier_webhook_secret: SecretStr = SecretStr("")
    courier_key_retention_seconds: int = Field(86_400, gt=0)
    kwik_url: str = ""
    kwik_domain_name: str = ""
    kwik_email: str = ""
    kwik_password: SecretStr = SecretStr("")
    kwik_utc_offset_minutes: int = Field(60, ge=-720, le=840)
    # As agreed with Kwik: whether it wants that offset turned round (-1), its vehicle, who is billed.
    kwik_timezone_sign: Literal[1, -1] = 1
    kwik_vehicle_id: int = Field(1, ge=0)
    kwik_payment_method: int = Field(524_288, ge=0)
    # How often a courier is asked about a job: one that tells nothing by itself, and one that does.
    courier_poll_seconds: float = Field(20.0, gt=0)
    courier_watch_seconds: float = Field(120.0, gt=0)
    delivery_code_minutes: int = Field(240, ge=5, le=2_880)

    # How long messages of a ticket wait to be read before a mail says so.
    ticket_unread_minutes: int = Field(15, ge=1, le=10_080)

    # By whom messages to patients leave; "": not by this channel. One that is set up is still asked about what it has.
    outreach_email: Literal["smtp", "sendgrid"] = "smtp"
    outreach_sms: Literal["", "twilio"] = ""
    outreach_whatsapp: Literal["", "cloud", "twilio"] = ""
    outreach_mail_from: str = ""
    # Messages per second to each provider; 0: as fast as it takes them.
    outreach_rate_per_second: float = Field(0.0, ge=0)
    sendgrid_url: str = "https://api.sendgrid.com"
    sendgrid_api_key: SecretStr = SecretStr("")
    # The public key of its event webhook, as its page shows it.
    sendgrid_webhook_key: str = ""
    twilio_url: str = "https://api.twilio.com"
    twilio_account_sid: str = ""
    twilio_auth_token: SecretStr = SecretStr("")
    # A number such as +12025550123, or a messaging service (MG...).
    twilio_from: str = ""
    twilio_whatsapp_from: str = ""
    whatsapp_url: str = "https://graph.facebook.com/v25.0"
    whatsapp_token: SecretStr = SecretStr("")
    whatsapp_phone_number_id: str = ""
    whatsapp_app_secret: SecretStr = SecretStr("")
    whatsapp_verify_token: SecretStr = SecretStr("")
    # Signs what comes to /api/v1/comm/webhook/...; several with commas between them, while one replaces another.
    comm_webhook_secret: SecretStr = SecretStr("")
    # Where providers reach us, as their signatures have it; "": the public address.
    webhook_url: str = ""
    # Webhooks per second that each provider may send; more is answered with 429. 0: as many as come.
    webhook_rate_per_second: float = Field(500.0, ge=0)
    # How long before an appointment patients are reminded, in hours with commas between them.
    outreach_reminder_hours: str = "24"
    outreach_portal_days: int = Field(7, ge=1, le=90)
    # A message that has waited so long behind a provider that does not work goes by another channel.
    outreach_fallback_seconds: int = Field(300, ge=1, le=86_400)
    # A provider that has told nothing of messages this old has fallen silent; 0: it may.
    outreach_silence_seconds: int = Field(3_600, ge=0, le=604_800)

    # The process that tells open pages and apps of orders' changes, and how browsers reach it; "": the same host, its port.
    socket_port: int = Field(8001, ge=1, le=65535)
    socket_url: str = ""
    # Other sites whose pages may open a socket (with a ticket), with commas between them, such as https://shop.example.org.
    socket_origins: str = ""

    orders_table: str = "orders"
    order_kits_table: str = "order_kits"
    practitioners_table: str = "practitioners"
    orders_api_url: str = ""
    orders_api_token: SecretStr = SecretStr("")

    # Open pages that are told of changes at once, per dashboard process; further ones ask every few seconds.
    live_streams: int = Field(32, ge=0, le=256)
    metrics_token: SecretStr = SecretStr("")
    # Where spans go, as OTLP over HTTP; "": nowhere. Needs the extra `otel`.
    otlp_url: str = ""

    # Where the audit chain's head is written to: a file on another machine's share, or where nothing can be taken back.
    audit_anchor: Path | None = None

    # Who is told of alerts, and from when on there is one; 0 turns a kind off.
    alert_mail_to: str = ""
    alert_webhook_url: str = ""
    alert_webhook_secret: SecretStr = SecretStr("")
    # Networks of one's own in which HL7 endpoints and the alert webhook may be, such as 10.20.0.0/16, with commas.
    private_networks: str = ""
    alert_check_seconds: int = Field(15, ge=1, le=3_600)
    alert_settle_seconds: int = Field(120, ge=0, le=86_400)
    alert_queue_age_seconds: int = Field(900, ge=0)
    alert_failure_percent: int = Field(20, ge=0, le=100)
    alert_failure_window_seconds: int = Field(900, ge=10, le=86_400)
    alert_failure_least: int = Field(20, ge=1)
    alert_in_doubt: int = Field(1, ge=0)
    alert_missing_seconds: int = Field(60, ge=0)
    alert_breaker: bool = True
    # Webhooks in a row whose signature does not fit, and for how long what providers and patients told may wait.
    alert_webhooks_refused: int = Field(10, ge=0)
    alert_untaken_seconds: int = Field(300, ge=0)
    # For how long the head of the audit chain may be newer than its anchor.
    alert_anchor_seconds: int = Field(3_600, ge=0)

    mailbox_dir: Path | None = None

    @field_validator("orders_table", "order_kits_table", "practitioners_table", "application_role")
    @classmethod
    def _plain_identifier(cls, name: str) -> str:
        if not name.isidentifier() or not name.isascii() or name != name.lower():
            raise ValueError("must be a plain lower-case SQL name such as orders")
        return name

    @model_validator(mode="after")
    def _production_needs_its_own_secrets(self) -> Settings:
        if self.environment == "production":
            missing = [
                env
                for env, value in (
                    ("DATABASE_URL", self.database_url),
                    ("REDIS_URL", self.redis_url),
                    ("DISPATCHLOG_SECRET_KEY", self.secret_key.get_secret_value()),
                    ("DISPATCHLOG_PUBLIC_URL", self.public_url),
                )
                if not value
            ]
            if missing:
                raise ValueError(f"production needs {', '.join(missing)}")
            if "tls=none" in self.smtp_url and ("@" in self.smtp_url or not _is_here(self.smtp_url)):
                raise ValueError(
                    "DISPATCHLOG_SMTP_URL would send mails, or its password, in clear text; use tls=starttls or implicit"
                )
        return self

    @model_validator(mode="after")
    def _patients_go_to_providers_encrypted(self) -> Settings:
        if self.environment == "production":
            for name in ("courier", "kwik", "sendgrid", "twilio", "whatsapp"):
                if _is_in_clear(getattr(self, f"{name}_url")):
                    raise ValueError(
                        f"DISPATCHLOG_{name.upper()}_URL must begin with https://: patients' addresses go there"
                    )
            for name in ("courier", "comm"):
                secrets = _listed(_plain(getattr(self, f"{name}_webhook_secret")))
                if any(len(secret) < _LEAST_SECRET for secret in secrets):
                    raise ValueError(
                        f"DISPATCHLOG_{name.upper()}_WEBHOOK_SECRET needs {_LEAST_SECRET} characters or more:"
                        " whoever guesses one is believed"
                    )
        return self

    @model_validator(mode="after")
    def _patients_reach_us_encrypted(self) -> Settings:
        writes = self.outreach_sms or self.outreach_whatsapp or self.outreach_email == "sendgrid"
        if self.environment == "production" and writes:
            for name in ("public_url", "webhook_url"):
                if _is_in_clear(getattr(self, name)):
                    raise ValueError(
                        f"DISPATCHLOG_{name.upper()} must begin with https://: patients' answers come there"
                    )
        return self

    @model_validator(mode="after")
    def _people_sign_in_encrypted(self) -> Settings:
        if self.environment == "production" and _is_in_clear(self.public_url):
            raise ValueError("DISPATCHLOG_PUBLIC_URL must begin with https://: people sign in there")
        return self

    @model_validator(mode="after")
    def _channels_have_what_they_need(self) -> Settings:
        needed = {
            "twilio": ("twilio_account_sid", "twilio_auth_token"),
            "cloud": ("whatsapp_token", "whatsapp_phone_number_id"),
            "sendgrid": ("sendgrid_api_key",),
        }
        # Without these a provider's webhooks are refused, and with them what patients answer and withdraw.
        hearing = {
            "cloud": ("whatsapp_app_secret", "whatsapp_verify_token"),
            "sendgrid": ("sendgrid_webhook_key",),
        }
        for channel in ("email", "sms", "whatsapp"):
            provider = getattr(self, f"outreach_{channel}")
            names = list(needed.get(provider, ()))
            if self.environment == "production":
                names.extend(hearing.get(provider, ()))
            if provider == "twilio":
                names.append("twilio_from" if channel == "sms" else "twilio_whatsapp_from")
            missing = [f"DISPATCHLOG_{name.upper()}" for name in names if not _plain(getattr(self, name))]
            if missing:
                raise ValueError(f"DISPATCHLOG_OUTREACH_{channel.upper()}={provider} needs {', '.join(missing)}")
        return self

    @field_validator("outreach_reminder_hours")
    @classmethod
    def _hours(cls, text: str) -> str:
        if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 720 for part in _listed(text)):
            raise ValueError("must be hours from 1 to 720 with commas between them, such as 72,24")
        return text

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The secret key in force, then the old ones."""
        current = self.secret_key.get_secret_value()
        old = _listed(self.old_secret_keys.get_secret_value())
        return (current, *(key for key in dict.fromkeys(old) if key != current))

    @property
    def reminder_hours(self) -> tuple[int, ...]:
        return tuple(sorted({int(part) for part in _listed(self.outreach_reminder_hours)}, reverse=True))

    @property
    def effective_webhook_url(self) -> str:
        return (self.webhook_url or self.effective_public_url).rstrip("/")

    @field_validator(
        *("alert_webhook_url", "courier_url", "kwik_url", "otlp_url", "sendgrid_url", "twilio_url", "whatsapp_url"),
        "webhook_url",
    )
    @classmethod
    def _web_address(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("must begin with https:// or http://")
        return url

    @field_validator("socket_url")
    @classmethod
    def _socket_address(cls, url: str) -> str:
        if url and not _is_origin(url.rstrip("/"), "https", "http", "wss", "ws"):
            raise ValueError("must be an address such as https://desk.example.org:8001, without a path")
        return url

    @field_validator("socket_origins")
    @classmethod
    def _origins(cls, text: str) -> str:
        if not all(_is_origin(origin, "https", "http") for origin in _listed(text)):
            raise ValueError(
                "must be addresses such as https://shop.example.org, without a path, with commas between them"
            )
        return text

    @model_validator(mode="after")
    def _pages_reach_the_socket(self) -> Settings:
        if self.environment == "production" and self.socket_url:
            if self.public_url.startswith("https://") and not self.socket_url.startswith(("https://", "wss://")):
                raise ValueError("DISPATCHLOG_SOCKET_URL must begin with https://, as DISPATCHLOG_PUBLIC_URL does")
            if urlsplit(self.socket_url).hostname != urlsplit(self.public_url).hostname:
                raise ValueError(
                    "DISPATCHLOG_SOCKET_URL must have the host of DISPATCHLOG_PUBLIC_URL: sessions' cookies go no further"
                )
        return self

    @field_validator("private_networks")
    @classmethod
    def _own_networks(cls, text: str) -> str:
        for part in _listed(text):
            if not any(_is_within(part, network) for network in NAMEABLE):
                raise ValueError("must be private networks such as 10.20.0.0/16, with commas between them")
        return text

    @field_validator("alert_mail_to")
    @classmethod
    def _addresses(cls, text: str) -> str:
        if any(address.count("@") != 1 or " " in address for address in _listed(text)):
            raise ValueError("must be e-mail addresses with commas between them")
        return text

    @property
    def alert_mail_addresses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_listed(self.alert_mail_to)))

    @property
    def reachable_networks(self) -> tuple[Network, ...]:
        """Networks that are not public and may be connected to where people say the destination."""
        named = tuple(map(ip_network, _listed(self.private_networks)))
        return named if self.environment == "production" else named + LOOPBACK

    @property
    def socket_origin_list(self) -> tuple[str, ...]:
        return tuple(_listed(self.socket_origins))

    @property
    def effective_redis_url(self) -> str:
        return self.redis_url or "redis://127.0.0.1:6379/0"

    @property
    def effective_broker_url(self) -> str:
        return self.broker_url or self.effective_redis_url

    @property
    def effective_owner_url(self) -> str:
        return self.database_owner_url or self.database_url

    @property
    def effective_public_url(self) -> str:
        return (self.public_url or f"http://{self.bind_host}:{self.port}").rstrip("/")

    @property
    def effective_mailbox_dir(self) -> Path:
        return self.mailbox_dir or self.var_dir / "mail"


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _is_in_clear(url: str) -> bool:
    return bool(url) and urlsplit(url).scheme != "https" and not _is_here(url)


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _is_within(text: str, network: Network) -> bool:
    try:
        found = ip_network(text)
    except ValueError:
        return False
    return found.version == network.version and found.subnet_of(network)  # type: ignore[arg-type]


def _is_origin(url: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_one = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = f"{parts.scheme}://{parts.netloc}" == url and "@" not in url
    return parts.scheme in schemes and bool(parts.hostname) and port_is_one and plain


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment once.

    Raises:
        UnknownSetting: the environment has one that does not exist.
        pydantic.ValidationError: a setting is malformed; the message names it.
    """
    refuse_unknown(Settings.model_fields)
    return Settings()
