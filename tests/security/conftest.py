"""Owns nothing of its own: the dashboard's fixtures, for the checklist's tests of pages, sockets and doors."""

from __future__ import annotations

from tests.dashboard.conftest import (
    cheap_passwords,
    compiled_addresses,
    compiled_templates,
    dash,
    one_chromium,
    patient_dashboard,
)

__all__ = ["cheap_passwords", "compiled_addresses", "compiled_templates", "dash", "one_chromium", "patient_dashboard"]
