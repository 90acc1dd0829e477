"""The OpenAPI document says what the URL map does, and the page about it needs no script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from dashboard.api import ROUTES, register
from dashboard.api.openapi import openapi_path, route_codes


@pytest.fixture
def app() -> Flask:
    app = Flask("api documentation")
    register(app)
    return app


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/api/v1/openapi.json").get_json()
    return found


def test_the_document_names_every_route_of_the_url_map_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    served = {
        (openapi_path(rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/") and rule.rule != "/api/v1/openapi.json"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert documented == served
    assert len(served) == len(ROUTES)


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    references = set(_references(document))
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(schemas)


def test_every_path_value_is_declared_and_every_operation_has_its_own_id(document: dict[str, Any]) -> None:
    ids = []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            declared = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))
            ids.append(operation["operationId"])
    assert len(ids) == len(set(ids))


def test_every_operation_documents_its_errors(document: dict[str, Any]) -> None:
    for route in ROUTES:
        responses = document["paths"][openapi_path(route.rule)][route.method.lower()]["responses"]
        text = " ".join(response["description"] for response in responses.values())
        assert {"200", "401", "403", "503"} <= set(responses)
        assert all(code in text for code in route_codes(route))


def test_documents_that_come_in_refuse_unknown_fields(document: dict[str, Any]) -> None:
    for name in ("OrderDocument", "ShipmentDocument", "KitDocument", "PractitionerDocument", "CancelDocument"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_the_page_is_plain_html_without_script_or_inline_style(app: Flask) -> None:
    page = app.test_client().get("/api/docs").get_data(as_text=True)
    assert "/api/v1/kit-orders/{orderId}/shipment" in page
    assert "DUPLICATE_KIT" in page
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", page)
    assert app.test_client().get("/api/docs.css").mimetype == "text/css"


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
