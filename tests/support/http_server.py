"""HTTP servers of tests: a handler that answers briefly, and what runs it on a free port."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping


class QuietHandler(BaseHTTPRequestHandler):
    """Hands requests of every method to ``respond``, and logs nothing."""

    def respond(self) -> None:
        """Answer a request; ``self.command`` is its method."""
        raise NotImplementedError

    def _respond(self) -> None:
        self.respond()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - http.server's names

    def body(self) -> bytes:
        """Return the request's body."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send an answer with its length."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def url_of(server: ThreadingHTTPServer) -> str:
    """Return where a server listens."""
    return f"http://127.0.0.1:{server.server_port}"


@contextmanager
def serving(
    handler: Callable[..., BaseHTTPRequestHandler],
    *,
    host: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
    server_class: type[ThreadingHTTPServer] = ThreadingHTTPServer,
) -> Iterator[Any]:
    """Run a server on a free port of loopback, with TLS if a context is given; give the server.

    A test may set attributes on it, which handlers find as ``self.server``.
    """
    with server_class((host, 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
