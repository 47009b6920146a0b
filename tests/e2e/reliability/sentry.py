"""A Sentry of the tests' own: a port of loopback that keeps what Airflow reports."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Sentry:
    """Take reports for as long as the block lasts."""

    def __init__(self) -> None:
        self.reports: list[bytes] = []
        """What was sent, unpacked: lines of JSON."""
        reports = self.reports

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reports.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Airflow reports the errors of its tasks to here."""
        dsn = f"http://a-public-key@127.0.0.1:{self._server.server_port}/1"
        return {
            "AIRFLOW__SENTRY__SENTRY_ON": "True",
            "AIRFLOW__SENTRY__SENTRY_DSN": dsn,
            # Otherwise a long value is cut, and a secret in it may be overlooked.
            "AIRFLOW__SENTRY__MAX_VALUE_LENGTH": "1000000",
        }

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The errors that were reported, with the frames of their tracebacks."""
        lines = [json.loads(line) for report in self.reports for line in report.splitlines()]
        return [error for line in lines for error in line.get("exception", {}).get("values", [])]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
