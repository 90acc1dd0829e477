"""The readable page about the JSON API, rendered on the server from the route table. No script, nothing inline."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import render_template_string
from markupsafe import Markup

from dashboard.api.errors import ERRORS
from dashboard.api.openapi import openapi_path, route_codes
from dashboard.api.routes import Route
from dispatchlog.service_tokens import SCOPES

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2430; background: #fff; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #c9d1dc; }
h3 { margin-top: 2rem; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
code { font-family: ui-monospace, monospace; font-size: .95em; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e3e8ef; }
a { color: #0b5cad; }
td code { overflow-wrap: normal; }
@media (prefers-color-scheme: dark) {
  body { color: #e6ebf2; background: #12161c; }
  h2, th, td { border-color: #364152; }
  a { color: #7db8f5; }
}
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>JSON API · dispatchlog</title>
<link rel="icon" href="{{ url_for('static', filename='logo.svg') }}" type="image/svg+xml">
<link rel="stylesheet" href="{{ url_for('api.docs_style') }}">
</head>
<body>
<main>
<h1>JSON API</h1>
<p>Send <code>Authorization: Bearer dlk_…</code> with a service token. Every answer has a <code>traceId</code>; send your
own as <code>X-Trace-Id</code>. Every error is
<code>{"error": {"code", "message", "field", "faults", "traceId"}}</code>. For machines:
<a href="{{ url_for('api.openapi') }}">OpenAPI 3.1</a>.</p>
<h2 id="scopes">Scopes</h2>
<table>
<thead><tr><th scope="col">Scope</th><th scope="col">Lets a service</th></tr></thead>
<tbody>
{% for scope, meaning in scopes.items() %}<tr><td><code>{{ breakable(scope) }}</code></td><td>{{ meaning }}</td></tr>
{% endfor %}</tbody>
</table>
<h2 id="routes">Routes</h2>
{% for route in routes %}
<section id="{{ route.name }}">
<h3>{{ route.method }} {{ path(route.rule) }}</h3>
<p>{{ route.summary }} Needs <code>{{ route.scope }}</code>.{% if route.unversioned %}
Also at <code>{{ route.unversioned }}</code>.{% endif %}{% if route.permission %}
Without a token, the session of a person with the permission <code>{{ route.permission }}</code> does too, with the page's
<code>csrf_token</code> as <code>X-CSRFToken</code>.{% endif %}</p>
{% if route.parameters %}<h4>Query parameters</h4>
<ul>{% for name, meaning in route.parameters.items() %}<li><code>{{ name }}</code>: {{ meaning }}</li>{% endfor %}</ul>
{% endif %}
{% if route.document %}<h4>Body</h4>
<ul>{% for field in fields(route) %}<li><code>{{ field }}</code></li>
{% else %}<li>none, or <code>{}</code></li>{% endfor %}</ul>
{% endif %}
<p>Errors:
{% for code in codes(route) %}<a href="#{{ code }}"><code>{{ code }}</code></a>{{ ", " if not loop.last }}{% endfor %}
</p>
</section>
{% endfor %}
<h2 id="errors">Error codes</h2>
<table>
<thead><tr><th scope="col">Status</th><th scope="col">Code</th><th scope="col">Meaning</th></tr></thead>
<tbody>
{% for code, (status, meaning) in errors.items() %}
<tr id="{{ code }}"><td>{{ status }}</td><td><code>{{ breakable(code) }}</code></td><td>{{ meaning }}</td></tr>
{% endfor %}</tbody>
</table>
</main>
</body>
</html>
"""


def render_docs(routes: Sequence[Route]) -> str:
    """The page as HTML."""
    return render_template_string(
        _PAGE,
        routes=routes,
        scopes=SCOPES,
        errors=ERRORS,
        path=openapi_path,
        codes=route_codes,
        fields=_fields,
        breakable=_breakable,
    )


def _breakable(name: str) -> Markup:
    """The name, with a place to break after each of its parts: a telephone is narrower than the longest of them."""
    return Markup("<wbr>").join(re.split(r"(?<=[_:])", name))


def _fields(route: Route) -> list[str]:
    if route.document is None:
        return []
    schema = route.document.model_json_schema()
    required = set(schema.get("required", ()))
    return [f"{name} (required)" if name in required else name for name in schema.get("properties", {})]
