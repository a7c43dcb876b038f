"""A collector of traces: ``python otlp_receiver.py PORT_FILE SPANS_FILE``; each span that it gets is one JSON line."""

from __future__ import annotations

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PORT_FILE, SPANS = map(Path, sys.argv[1:])


def values(attributes) -> dict:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        with SPANS.open("a") as file:
            for group in request.resource_spans:
                for span in (span for scope in group.scope_spans for span in scope.spans):
                    facts = {
                        "path": self.path,
                        "service": values(group.resource.attributes)["service.name"],
                        "name": span.name,
                        "trace": span.trace_id.hex(),
                        "span": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "kind": span.kind,
                        "began": span.start_time_unix_nano,
                        "ended": span.end_time_unix_nano,
                        "status": span.status.code,
                        "attributes": values(span.attributes),
                    }
                    file.write(json.dumps(facts) + "\n")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
PORT_FILE.write_text(str(server.server_port))
server.serve_forever()
