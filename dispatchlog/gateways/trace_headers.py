"""The trace id as a provider gets it with an HTTP request. Owns the headers' form; sends nothing."""

from __future__ import annotations

import secrets

from dispatchlog.tracing import is_w3c


def trace_headers(trace_id: str) -> dict[str, str]:
    """`X-Trace-Id`, and W3C's `traceparent` (Trace Context section 3.2) where the id is of its form; none without an id.

    Each request is a span of its own, so the same dispatch's next try has another parent id.
    """
    if not trace_id:
        return {}
    if not is_w3c(trace_id):
        return {"X-Trace-Id": trace_id}
    return {"X-Trace-Id": trace_id, "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
