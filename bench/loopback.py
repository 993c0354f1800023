"""The loopback side of a trial: a TLS server that takes samples in, a scraper, many sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import resource
import socket
import ssl
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


HOST = "127.0.0.1"


def make_ca(directory: Path) -> tuple[Path, Path]:
    """Make a private CA and a leaf for loopback; return the CA's file and the leaf with its key."""
    ca, leaf = directory / "ca.pem", directory / "leaf.pem"
    common = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    common += ["-nodes", "-days", "2"]
    authority = ["-subj", "/CN=bench CA", "-keyout", f"{ca}.key", "-out", str(ca)]
    authority += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    ours = ["-subj", f"/CN={HOST}", "-CA", str(ca), "-CAkey", f"{ca}.key", "-keyout", f"{leaf}.key"]
    ours += ["-out", str(leaf), "-addext", f"subjectAltName=IP:{HOST}"]
    ours += ["-addext", "basicConstraints=critical,CA:FALSE"]
    for arguments in (authority, ours):
        subprocess.run([*common, *arguments], check=True, capture_output=True)
    leaf.write_text(leaf.read_text() + Path(f"{leaf}.key").read_text())
    return ca, leaf


class Intake(BaseHTTPRequestHandler):
    """Answers a posted envelope as the server does, and counts its samples."""

    protocol_version = "HTTP/1.1"
    server: Sink

    def do_POST(self) -> None:
        """Take an envelope in."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        wire = len(body)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        samples = json.loads(body)["samples"]
        self.server.take(samples, wire)
        answer = {"accepted": len(samples), "rejected": [], "server_time": int(time.time() * 1000)}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Keep the output to the table."""


class Sink(ThreadingHTTPServer):
    """An HTTPS server on a free loopback port."""

    daemon_threads = True

    def __init__(self, leaf: Path) -> None:
        super().__init__((HOST, 0), Intake)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.samples = 0
        self.last: dict[str, Any] = {}
        self.wire_bytes = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def take(self, samples: list[dict[str, Any]], wire: int) -> None:
        """Count samples and remember the last one's size."""
        self.samples += len(samples)
        if samples:
            self.last, self.wire_bytes = samples[-1], wire


class Scraper:
    """Reads a Prometheus exporter at an interval, over a kept connection, as Prometheus does."""

    def __init__(self, port: int, interval: float) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=10)
        self._interval = interval
        self._stop = threading.Event()
        self.scrapes = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def scrape(self) -> int:
        """Scrape once and return the length of the answer as sent."""
        self._connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        length = len(self._connection.getresponse().read())
        self.scrapes += 1
        return length

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.scrape()
            due += self._interval

    def stop(self) -> None:
        """End the scraping thread."""
        self._stop.set()
        self.thread.join()
        self._connection.close()


def allow_files(count: int) -> None:
    """Let this process open so many files; raises ``ValueError`` where that is forbidden."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))


def connected(sockets: int) -> Iterator[socket.socket]:
    """Yield so many sockets, in connected TCP pairs over loopback.

    They are closed by a reset, so that none stays behind in TIME_WAIT.
    """
    with socket.create_server((HOST, 0), backlog=128) as listener:
        for _ in range(sockets // 2):
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
            for end in (near, far):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                yield end
