"""One kept-alive HTTP connection to the server: TLS, private CA, proxy, readable errors."""

from __future__ import annotations

import socket
import ssl
from typing import NamedTuple

from hostpulse_agent import __version__, url
from hostpulse_agent.errors import TransportError
from hostpulse_agent.http1 import Connection, ProtocolError

PATH = "/api/v1/metrics"
# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
_NO_ISSUER, _NO_ISSUER_OF_LEAF = 20, 21
_PARTIAL_CHAIN = 0x80000  # X509_V_FLAG_PARTIAL_CHAIN; Python has a name for it from 3.10 on
_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (
        socket.gaierror,
        "the name does not resolve: check server.urls and this host's DNS or /etc/hosts",
    ),
    (socket.timeout, "no answer in time: check that a firewall lets this host through"),
    (
        ConnectionRefusedError,
        "connection refused: is the server running, and is the port right?",
    ),
    (ConnectionError, "the connection was cut before the answer"),
)


class Response(NamedTuple):
    """An HTTP answer; ``retry_after`` is the header's text."""

    status: int
    retry_after: str | None
    body: bytes


class Transport:
    """Posts bodies; keeps the connection to the last URL that answered.

    ``ca_file`` empty means the system's authorities; ``proxy_url`` empty means none.
    """

    def __init__(self, ca_file: str = "", proxy_url: str = "") -> None:
        self._ca_file = ca_file
        self._proxy = url.split(proxy_url) if proxy_url else None
        self._context: ssl.SSLContext | None = None
        self._connection: Connection | None = None
        self._base = ""

    def post(self, base: str, key: str, body: bytes, timeout: float) -> Response:
        """Post a gzip ``body`` to base URL ``base``; raise ``TransportError`` without an answer."""
        if base != self._base:
            self.close()
        if self._connection is not None:
            try:
                return self._exchange(base, key, body, timeout)
            except ConnectionError:
                # The server may close an idle connection at any time; resending is harmless.
                self.close()
            except (OSError, ProtocolError) as error:
                raise self._failed(base, error) from None
        try:
            return self._exchange(base, key, body, timeout)
        except (OSError, ProtocolError) as error:
            raise self._failed(base, error) from None

    def _failed(self, base: str, error: Exception) -> TransportError:
        self.close()
        if isinstance(error, ssl.SSLError):
            self._context = None  # the next attempt reads the CA file again
        return TransportError(f"{base}: {explain(error, self._ca_file)}")

    def _exchange(self, base: str, key: str, body: bytes, timeout: float) -> Response:
        target = url.split(base)
        if self._connection is None:
            self._connection, self._base = self._connect(target, timeout), base
        headers = {
            "Host": target.authority,
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
            "User-Agent": f"hostpulse-agent/{__version__}",
        }
        answer = self._connection.exchange("POST", target.path + PATH, headers, body, timeout)
        if not answer.keep:
            self.close()
        return Response(answer.status, answer.headers.get("retry-after"), answer.body)

    def _connect(self, target: url.Url, timeout: float) -> Connection:
        proxy = self._proxy if target.scheme == "https" else None
        peer = proxy or target
        sock = socket.create_connection((peer.host, peer.port), timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if proxy is not None:
                _tunnel(sock, target, timeout)
            if target.scheme == "https":
                sock = self._tls().wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise
        return Connection(sock)

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._ca_file:
                context.load_verify_locations(self._ca_file)
                # what the file holds is trusted, be it the authority that issued and not its root
                context.verify_flags |= _PARTIAL_CHAIN
            else:
                context.load_default_certs()
            self._context = context
        return self._context

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None


def _tunnel(sock: socket.socket, target: url.Url, timeout: float) -> None:
    headers = {"Host": target.authority}
    answer = Connection(sock).exchange("CONNECT", target.authority, headers, b"", timeout)
    if answer.status != 200:  # noqa: PLR2004 -- the only success a tunnel has
        raise ProtocolError(f"the proxy answers {answer.status}: check server.proxy_url")


def explain(error: Exception, ca_file: str = "") -> str:
    """Return why there was no response, and what to do about it."""
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, ca_file)
    words = next((text for kind, text in _WORDS if isinstance(error, kind)), None)
    if words is None and isinstance(error, OSError):
        return f"{error.strerror or error}"
    return words or f"{error}: check server.urls"


def _explain_tls(error: ssl.SSLError, ca_file: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, ca_file)
    if "WRONG_VERSION" in str(error) or "RECORD_LAYER" in str(error):
        return "this port does not speak TLS: check scheme and port in server.urls"
    where = f" (CA file {ca_file})" if ca_file else ""
    return f"TLS failed{where}: {error.reason or error}"


def _explain_certificate(error: ssl.SSLCertVerificationError, ca_file: str) -> str:
    if error.verify_code in (_WRONG_HOST, _WRONG_ADDRESS):
        return (
            f"the server's certificate is for another name ({error.verify_message}): use a name "
            "it holds in server.urls"
        )
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return (
            f"the server's certificate is out of date ({error.verify_message}): renew it, or set "
            "this host's clock"
        )
    if ca_file:
        return (
            f"the server's certificate is not signed by {ca_file} ({error.verify_message}): copy "
            f"the server's CA certificate there{_intermediate(error)}"
        )
    return (
        f"the server's certificate is not trusted ({error.verify_message}): name its CA "
        "certificate in server.ca_file"
    )


def _intermediate(error: ssl.SSLCertVerificationError) -> str:
    """Return the other cure where the chain that the server sends may be cut short."""
    if error.verify_code not in (_NO_ISSUER, _NO_ISSUER_OF_LEAF):
        return ""
    return (
        "; or, if an intermediate authority issued it, let the server send that one's certificate, "
        "too, after its own"
    )
