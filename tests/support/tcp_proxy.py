"""A way to a server that can be cut, or made to stand still."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url

_CHUNK: Final = 65_536


class TcpProxy:
    """Passes bytes on between whoever connects and one server.

    Attributes:
        port: Where it listens, on 127.0.0.1.
    """

    def __init__(self, server: tuple[str, int] | Path) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._is_cut = self._is_still = self._is_closed = False
        # Held while a connection is opened or all are ended: none may be in between.
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and each that comes."""
        with self._lock:
            self._is_cut = True
            self._end()

    def stand_still(self) -> None:
        """Take connections, and answer nothing."""
        with self._lock:
            self._is_still = True
            self._end()

    def heal(self) -> None:
        """Pass on again what comes from now on."""
        with self._lock:
            self._is_cut = self._is_still = False
            self._end()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        with self._lock:
            self._is_closed = True
            self._end()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._take(near)

    def _take(self, near: socket.socket) -> None:
        if self._is_cut or self._is_closed:
            near.close()
            return
        self._open.append(near)
        if self._is_still:
            return
        far = self._connect()
        self._open.append(far)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=_pass, args=(source, sink), daemon=True).start()

    def _connect(self) -> socket.socket:
        if isinstance(self._server, Path):
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._server))
            return far
        return socket.create_connection(self._server)

    def _end(self) -> None:
        ended, self._open = self._open, []
        for one in ended:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while told := source.recv(_CHUNK):
            sink.sendall(told)
        sink.shutdown(socket.SHUT_RDWR)


def server_of(url: str) -> tuple[str, int] | Path:
    """Return where a Postgres listens, for a proxy to it."""
    parts = make_url(url)
    host = parts.query.get("host") or parts.host or "127.0.0.1"
    port = parts.port or 5432
    if str(host).startswith("/"):
        return Path(str(host)) / f".s.PGSQL.{port}"
    return str(host), port


@contextlib.contextmanager
def tcp_proxy(server: tuple[str, int] | Path) -> Iterator[TcpProxy]:
    """Open a way to a server."""
    proxy = TcpProxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
