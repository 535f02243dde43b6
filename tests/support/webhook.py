"""A web server of the test's own, that answers as it is told."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """What was posted, and what is answered.

    Attributes:
        url: Where it listens.
        answers: Statuses of the next answers; after them it answers 200.
        posted: Headers and JSON of every request, also of those refused.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[int] = []
        self.posted: list[tuple[dict[str, str], Any]] = []

    @property
    def bodies(self) -> list[Any]:
        return [body for _, body in self.posted]

    def take(self, headers: dict[str, str], body: Any) -> int:
        self.posted.append((headers, body))
        return self.answers.pop(0) if self.answers else 200


@contextlib.contextmanager
def listening() -> Iterator[Webhook]:
    """Answer on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            status = webhook.take(dict(self.headers), body)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", webhook.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook = Webhook(f"http://127.0.0.1:{server.server_address[1]}/hook")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield webhook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
