"""The browser of the scenarios: one, and gone when their tests are over, for a second one beside it does not start."""

from __future__ import annotations

from tests.dashboard.conftest import cheap_passwords, one_chromium

__all__ = ["cheap_passwords", "one_chromium"]
