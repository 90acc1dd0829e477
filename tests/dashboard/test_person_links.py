"""For whom an account acts in tickets: linked and unlinked by administrators, with reasons, and what its person then sees."""

from __future__ import annotations

DOCTOR = "doctor@example.org"
