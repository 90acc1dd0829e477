"""Where a form link leads while no form service is set up: says whether the link is valid. Shows no personal data."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, render_template

from dashboard.access import PUBLIC, needs
from dashboard.context import settings
from dispatchlog.systems.form_links import FormLinkExpired, FormLinkInvalid, verify_form_token

pages = Blueprint("form", __name__)


@pages.get("/form/<token>")
@needs(PUBLIC)
def show(token: str) -> tuple[str, int]:
    """Valid, expired or not one of ours."""
    try:
        link = verify_form_token(settings().secret_keys, token, now=datetime.now(UTC))
    except FormLinkExpired:
        return render_template("form.html", state="expired", expires_at=None), 410
    except FormLinkInvalid:
        return render_template("form.html", state="invalid", expires_at=None), 404
    return render_template("form.html", state="valid", expires_at=link.expires_at), 200
