"""The page that explains: what the words mean and what the keys do. Owns the list of keys; their work is in comfort.js."""

from __future__ import annotations

from flask import Blueprint, render_template

from dashboard.access import SIGNED_IN, needs
from dashboard.courier_wording import ORDER_STATES, RESOLUTIONS
from dashboard.wording import GLOSSARY, states_of

pages = Blueprint("guide", __name__)

# What is pressed, and what it does. Keys that open a page stand with their page, in `navigation`.
KEYS = (
    ("?", "Show the keys"),
    ("/", "Search"),
    ("j", "Next line of a list"),
    ("k", "Line before"),
    ("Enter", "Open the line"),
    ("x", "Select the line"),
    ("n", "On the page of a dispatch: the next of its list"),
    ("p", "The one before it in its list"),
    ("u", "Back to the list"),
)


@pages.get("/help")
@needs(SIGNED_IN)
def show() -> str:
    """Words and keys."""
    return render_template(
        "guide.html",
        glossary=GLOSSARY,
        states=states_of("").values(),
        order_states=ORDER_STATES.values(),
        resolutions=RESOLUTIONS,
    )
