"""Owns a receiver of OpenTelemetry's spans: OTLP over HTTP, decoded by the standard's own messages."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Spans:
    """What came, from construction to `close`."""

    def __init__(self) -> None:
        self._requests: list[ExportTraceServiceRequest] = []
        receiver = self

        class Receive(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/v1/traces":
                    receiver._requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """It says nothing by itself."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receive)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def of(self, trace_id: str) -> set[tuple[str, str]]:
        """Kind of process and name of each span of a trace."""
        found: set[tuple[str, str]] = set()
        for request in [*self._requests]:
            for part in request.resource_spans:
                kinds = [each.value.string_value for each in part.resource.attributes if each.key.endswith(".kind")]
                for scope in part.scope_spans:
                    found |= {(kinds[0], each.name) for each in scope.spans if each.trace_id.hex() == trace_id}
        return found

    def names(self) -> set[str]:
        """Of all spans."""
        return {
            each.name
            for request in [*self._requests]
            for part in request.resource_spans
            for scope in part.scope_spans
            for each in scope.spans
        }

    def text(self) -> str:
        """Everything that came."""
        return "\n".join(map(str, [*self._requests]))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
