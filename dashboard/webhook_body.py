"""The raw body of a webhook, never more of it than a door takes. Owns the limit; reads nothing out of it."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge


def read_body(*, most: int) -> bytes:
    """The body as it came.

    Raises:
        RequestEntityTooLarge: it has more than `most` bytes; the rest was not read.
    """
    # A chunked body that is too long is cut off silently by Werkzeug, so one byte more than the limit is asked for.
    request.max_content_length = most + 1
    body = request.get_data(cache=False)
    if len(body) > most:
        raise RequestEntityTooLarge
    return body
