"""What each role may do, in plain words, from the data. Shows; changes nothing."""

from __future__ import annotations

from flask import Blueprint, render_template

from dashboard.access import READ, needs
from dashboard.people_queries import every_role
from dashboard.role_wording import in_words

pages = Blueprint("roles", __name__)


@pages.get("/roles")
@needs(READ)
def show() -> str:
    """Every role beside every permission."""
    roles = every_role()
    keys = dict.fromkeys(key for role in roles for key in role.permissions)
    return render_template("roles.html", roles=roles, permissions=in_words([*keys]))
