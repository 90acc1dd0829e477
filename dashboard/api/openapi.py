"""The OpenAPI 3.1 document, made from the route table and the documents' own schemas, so that it cannot drift from them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from dashboard.api.documents import ErrorAnswer
from dashboard.api.errors import ERRORS
from dashboard.api.routes import MAX_BODY_BYTES, MAX_LIMIT, Route
from dashboard.api.signed_in import CSRF_HEADER
from dashboard.api.tracing import HEADER
from dispatchlog.service_tokens import SCOPES

_ALWAYS = ("UNAUTHENTICATED", "FORBIDDEN_SCOPE", "UNKNOWN_FIELD", "INTERNAL", "DATABASE_UNAVAILABLE")
_WITH_BODY = (
    "INVALID_JSON",
    "REPEATED_FIELD",
    "MISSING_FIELD",
    "WRONG_TYPE",
    "TOO_LONG",
    "INVALID_VALUE",
    "INVALID_DATE",
    "NAIVE_DATE",
    "BODY_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
)
# Query parameters that are no texts, and mean the same on every route.
_QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    "page": {"type": "integer", "minimum": 1},
    "pageSize": {"type": "integer", "minimum": 1},
    "first": {"type": "string", "format": "date"},
    "last": {"type": "string", "format": "date"},
}
_PATH_VALUE = re.compile(r"<(\w+)>")


def openapi_path(rule: str) -> str:
    """Flask's rule as OpenAPI writes it: `/x/<order_id>` is `/x/{orderId}`."""
    return _PATH_VALUE.sub(lambda found: "{" + _camel(found[1]) + "}", rule)


def route_codes(route: Route) -> list[str]:
    """Every error code the route can answer, by status."""
    codes = {*_ALWAYS, *route.codes}
    if route.document is not None:
        codes |= {*_WITH_BODY}
    if any(name.endswith("_id") for name in _PATH_VALUE.findall(route.rule)):
        codes.add("INVALID_UUID")
    if route.parameters:
        codes.add("MISSING_FIELD")
    return sorted(codes, key=lambda code: (ERRORS[code][0], code))


def build_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole OpenAPI document."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in routes:
        paths[openapi_path(route.rule)][route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dispatch log",
            "version": version("dispatchlog"),
            "description": "Report orders, shipments and visits, and follow what was sent for them. "
            "Every answer has a traceId.",
        },
        "security": [{"serviceToken": []}],
        "paths": dict(paths),
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {
                "serviceToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "dlk_<id>_<secret>. Scopes: "
                    + "; ".join(f"{s}: {why}" for s, why in SCOPES.items()),
                },
                "personToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "dlp_..., from issuePersonToken: a person asks as themselves, for a quarter of an hour.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-dispatchlog",
                    "description": "The dashboard's session; over plain http the cookie is named dispatchlog.",
                },
                "csrfToken": {
                    "type": "apiKey",
                    "in": "header",
                    "name": CSRF_HEADER,
                    "description": "csrf_token of a page of the same session.",
                },
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": _who_may(route)
        + (f" Also at `{route.unversioned}`." if route.unversioned else "")
        + (f" Or the session of a person with the permission `{route.permission}`." if route.permission else ""),
        "parameters": _parameters(route),
        "responses": _responses(route),
        "x-required-scope": route.scope or None,
    }
    if not route.scope:
        operation["security"] = [{"personToken": []}, {"session": [], "csrfToken": []}]
    elif route.permission:
        operation["security"] = [{"serviceToken": []}, {"session": [], "csrfToken": []}]
    if route.document is not None:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "description": f"At most {MAX_BODY_BYTES // 1024} KiB.",
            "content": {"application/json": {"schema": _reference(route.document)}},
        }
    return operation


def _who_may(route: Route) -> str:
    if not route.scope:
        return "Needs a person's token, or the session of an account that is linked to a person."
    return f"Needs the scope `{route.scope}`."


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path: list[dict[str, Any]] = [
        {"name": _camel(name), "in": "path", "required": True, "schema": _path_schema(name)}
        for name in _PATH_VALUE.findall(route.rule)
    ]
    in_query: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "query",
            "required": name in route.required,
            "description": text,
            "schema": _QUERY.get(name, {"type": "string"}),
        }
        for name, text in route.parameters.items()
    ]
    trace = {
        "name": HEADER,
        "in": "header",
        "description": "your trace id, of 1 to 64 letters, digits, dots, underscores or hyphens; else one is made",
        "schema": {"type": "string"},
    }
    in_header: list[dict[str, Any]] = [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in route.headers.items()
    ]
    return [*in_path, *in_query, *in_header, trace]


def _path_schema(name: str) -> dict[str, str]:
    return {"type": "string", "format": "uuid"} if name.endswith("_id") else {"type": "string"}


def _responses(route: Route) -> dict[str, Any]:
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in route_codes(route):
        by_status[ERRORS[code][0]].append(code)
    responses = {"200": _response("Done.", route.answer)}
    if route.creates is not None:
        responses = {"201": _response("Stored.", route.answer), "200": _response("Known already.", route.answer)}
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _response("; ".join(f"{code}: {ERRORS[code][1]}" for code in codes), ErrorAnswer)
    return responses


def _response(description: str, kind: type[BaseModel]) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {HEADER: {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": _reference(kind)}},
    }


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    kinds: dict[type[BaseModel], JsonSchemaMode] = {ErrorAnswer: "serialization"}
    for route in routes:
        kinds[route.answer] = "serialization"
        if route.document is not None:
            kinds[route.document] = "validation"
    _, schema = models_json_schema(list(kinds.items()), by_alias=True, ref_template="#/components/schemas/{model}")
    return dict(schema["$defs"])


def _reference(kind: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
