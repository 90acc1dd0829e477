"""Whether somebody in whose name work goes on by itself may still act. Reads accounts; changes none.

Work that goes on for minutes outlives the sign-in that began it: an account may be closed or lose its role meanwhile.
"""

from __future__ import annotations

from dispatchlog.engine.database import fetch_all

# The permission of whoever acts on dispatches.
_ACT = "act"
# Who signs a stop that no person asked for.
ITSELF = "dispatchlog"


def objection(actor: str) -> str:
    """Why nothing more is to be done in the name of `actor`; empty where nothing speaks against it.

    Who has no account, as the command line and services, is not judged here. Needs an open connection.
    """
    rows = fetch_all(
        "SELECT u.active, EXISTS (SELECT FROM staff_user_roles ur JOIN staff_roles r ON r.id = ur.role_id"
        " WHERE ur.user_id = u.id AND %s = ANY (r.permissions)) FROM staff_users u WHERE lower(u.email) = lower(%s)",
        (_ACT, actor),
    )
    if not rows:
        return ""
    active, may_act = rows[0]
    if not active:
        return "the account in whose name it went on was closed"
    return "" if may_act else "whoever it went on for may not act on dispatches any more"
