"""Real parts for the agent: an HTTP(S) server that misbehaves on demand, certificates, a clock."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import socket
import ssl
import threading
import time
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hostpulse_agent.clock import Clock
from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.config import SpoolConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "hp_abcdefghij01_" + "A" * 43


class Received(NamedTuple):
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    envelope: dict[str, Any]


class Receiver:
    """A real HTTP server. ``answers`` is called with each request and returns the response.

    An answer is ``(status, headers, body)``; ``"hang"`` holds the connection until the server is
    closed, ``"reset"`` cuts it.
    """

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.clock_ms: Callable[[], float] = lambda: time.time() * 1000
        self.answers: Callable[[Received], Any] = lambda _request: self.accept()
        self._closing = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = False
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._open: set[socket.socket] = set()
        scheme = "http" if context is None else "https"
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def accept(
        self, rejected: list[dict[str, Any]] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Answer as the real server does."""
        body = {"accepted": 1, "rejected": rejected or [], "server_time": self.clock_ms()}
        return 200, {}, body

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def setup(self) -> None:
                super().setup()
                receiver.connections += 1
                receiver._open.add(self.connection)

            def finish(self) -> None:
                receiver._open.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                envelope = json.loads(zlib.decompress(body, 31))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(self.path, headers, envelope)
                receiver.received.append(request)
                self.reply(receiver.answers(request))

            def reply(self, answer: Any) -> None:
                if answer == "hang":
                    receiver._closing.wait(20)
                if isinstance(answer, str):
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, content = answer
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler

    @property
    def samples(self) -> list[tuple[str, int]]:
        """``(stream, seq)`` of all samples in requests, in order of arrival."""
        return [
            (request.envelope["agent"]["stream"], sample["seq"])
            for request in list(self.received)
            for sample in request.envelope["samples"]
        ]

    def close(self) -> None:
        """Cut all connections and stop."""
        self._closing.set()
        self._server.shutdown()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a server on a free port of the loopback, plain HTTP."""
    made = Receiver()
    yield made
    made.close()


class Authority:
    """A private CA, or one below another, that issues server certificates for loopback names."""

    def __init__(self, directory: Path, name: str, root: Authority | None = None) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._now = dt.datetime.now(dt.timezone.utc)
        length = 1 if root is None else 0
        certificate = (
            (root or self)
            ._builder(self._name, self._key.public_key(), 1)
            .add_extension(x509.BasicConstraints(ca=True, path_length=length), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .sign((root or self)._key, hashes.SHA256())
        )
        self.ca_file = directory / f"{name}.pem"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: Any, days: float) -> x509.CertificateBuilder:
        end = self._now + dt.timedelta(days=days)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - dt.timedelta(days=2))
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )

    def server_context(self, address: str = "127.0.0.1", days: float = 1) -> ssl.SSLContext:
        """Return a context with a fresh certificate for ``address``, valid for ``days`` more."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        certificate = (
            self._builder(subject, key.public_key(), days)
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        path = self._directory / f"server-{certificate.serial_number}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return a private CA."""
    return Authority(tmp_path, "hostpulse-test-ca")


class ManualClock(Clock):
    """A clock that only a test moves: ``wall`` in ms, ``mono`` in s; boot follows ``mono``."""

    def __init__(self, wall: float = 1_800_000_000_000.0, mono: float = 1000.0) -> None:
        super().__init__()
        self.wall = wall
        self.mono = mono
        self.synchronised: bool | None = None

    def wall_ms(self) -> float:
        """Return the wall clock."""
        return self.wall

    def monotonic(self) -> float:
        """Return the monotonic clock."""
        return self.mono

    def boot_ms(self) -> float:
        """Return the boot clock."""
        return self.mono * 1000

    def is_synchronised(self) -> bool | None:
        """Return what the kernel would say."""
        return self.synchronised

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.mono += seconds
        self.wall += seconds * 1000


class Stub(Collector):
    """A collector whose answers are a list of points or errors, the last one lasting."""

    def __init__(self, *answers: list[Point] | Exception, name: str = "stub") -> None:
        fields = {"value": Field("count", "a number", 0.0, 100.0), "free": Field("count", "any")}
        self.catalogue = Catalogue(name, "A stub.", {"part": "which"}, fields)
        self.answers = list(answers) or [[Point(name, {}, {"value": 1.0})]]
        self.calls = 0

    def collect(self, now: float) -> list[Point]:  # noqa: ARG002 -- the base's signature
        """Return or raise the next answer."""
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def spool_config(tmp_path: Path) -> SpoolConfig:
    """Return the default bounds for a spool in a directory of its own, without a disk floor."""
    return SpoolConfig(path=str(tmp_path / "spool" / "spool.db"), min_free_bytes=0)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Return a proper key file."""
    path = tmp_path / "agent.key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return path
