"""Which couriers there are, by the settings. Owns the list: one that books, and all that can still be asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from dispatchlog.gateways.courier import Courier
from dispatchlog.gateways.courier_generic import GenericCourier, GenericTimes
from dispatchlog.gateways.kwik import KwikCourier, KwikTerms
from dispatchlog.gateways.kwik_api import KwikAccount
from dispatchlog.settings import Settings, get_settings


def couriers() -> Mapping[str, Courier]:
    """Every configured courier by name; empty where none is."""
    return _couriers()


def booking_courier() -> Courier | None:
    """The one that new dispatches are booked with (setting `courier`); None: none is configured."""
    return couriers().get(get_settings().courier)


def forget() -> None:
    """Close them; the next use makes them from the settings then in force. For tests."""
    if _couriers.cache_info().currsize:
        for courier in _couriers().values():
            courier.close()
    _couriers.cache_clear()


@lru_cache(maxsize=1)
def _couriers() -> Mapping[str, Courier]:
    settings = get_settings()
    made = (_generic(settings), _kwik(settings))
    return {courier.name: courier for courier in made if courier is not None}


def _generic(settings: Settings) -> Courier | None:
    if not settings.courier_url:
        return None
    secrets = settings.courier_webhook_secret.get_secret_value().split(",")
    return GenericCourier(
        settings.courier_url,
        settings.courier_token.get_secret_value(),
        webhook_secrets=[secret.strip() for secret in secrets if secret.strip()],
        times=GenericTimes(
            poll_seconds=settings.courier_poll_seconds,
            watch_seconds=settings.courier_watch_seconds,
            key_retention_seconds=settings.courier_key_retention_seconds,
        ),
    )


def _kwik(settings: Settings) -> Courier | None:
    password = settings.kwik_password.get_secret_value()
    if not (settings.kwik_url and settings.kwik_domain_name and settings.kwik_email and password):
        return None
    terms = KwikTerms(
        utc_offset_minutes=settings.kwik_utc_offset_minutes,
        timezone_sign=settings.kwik_timezone_sign,
        vehicle_id=settings.kwik_vehicle_id,
        payment_method=settings.kwik_payment_method,
    )
    account = KwikAccount(settings.kwik_domain_name, settings.kwik_email, password)
    return KwikCourier(settings.kwik_url, account, terms=terms, poll_seconds=settings.courier_poll_seconds)
