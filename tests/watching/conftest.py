"""What tests of watching share with those of the dashboard."""

from __future__ import annotations

from tests.dashboard.conftest import cheap_passwords, dash

__all__ = ["cheap_passwords", "dash"]
