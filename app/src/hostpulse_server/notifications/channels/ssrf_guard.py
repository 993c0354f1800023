"""SSRF guard: checks the address of each connection and bounds its time, below ``requests``."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hostpulse_server.notifications.channels.addresses import is_public

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Sequence


class RefusedError(OSError):
    """A name resolves to addresses that are not public."""


class Guard:
    """Opens the sockets of one Poster: looks at the address, and ends what takes too long."""

    def __init__(
        self,
        *,
        allow_private: bool,
        connect_seconds: float,
        resolve: Callable[..., Any],
        proxy: tuple[str, int] | None = None,
    ) -> None:
        """Let ``proxy`` be private: the configuration names it, and no receiver can."""
        self._proxy = proxy
        self._allow_private = allow_private
        self._resolve = resolve
        self._connect_seconds = connect_seconds
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._is_over = False

    def look_at(self, host: str) -> None:
        """Raise RefusedError for a receiver behind a proxy that is not public, as seen from here.

        The proxy resolves its name again. One that has no address here is the proxy's to judge.
        """
        if self._allow_private:
            return
        try:
            found = self._resolve(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror:
            return
        if not all(is_public(str(one[4][0])) for one in found):
            raise _refused(host, found)

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to the first address that answers and may be spoken to.

        The address that is checked is the one that is connected to: a name that answers
        differently the next time gains nothing. Raises OSError.
        """
        deadline = time.monotonic() + self._connect_seconds
        found = self._resolve(host, port, type=socket.SOCK_STREAM)
        is_any = self._allow_private or (host, port) == self._proxy
        allowed = [one for one in found if is_any or is_public(str(one[4][0]))]
        if not allowed:
            raise _refused(host, found)
        failure: OSError = TimeoutError()
        for family, kind, protocol, _, address in allowed:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(left)
                opened.connect(address)
                self._track(opened)
            except OSError as error:
                failure = error
                opened.close()
            else:
                return opened
        raise failure

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[Any]:
        """Cut the connection after ``seconds``, however it dawdles; gives whether that was so."""
        self._is_over = False
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield lambda: self._is_over
        finally:
            timer.cancel()
            timer.join()
            with self._lock:
                if self._socket is not None:
                    self._socket.close()
                    self._socket = None

    def _track(self, opened: socket.socket) -> None:
        with self._lock:
            if self._is_over:
                raise TimeoutError
            # TLS takes the socket over; its duplicate stays ours
            self._socket = opened.dup()

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


def _refused(host: str, found: Sequence[Any]) -> RefusedError:
    addresses = ", ".join(sorted({str(one[4][0]) for one in found})[:3])
    return RefusedError(
        f"{host} is {addresses}, which is not a public address; an internal receiver "
        "needs allow_private = true"
    )


class Adapter(HTTPAdapter):
    """Makes requests use connections that the guard opens and TLS that ``trust`` verifies."""

    def __init__(self, guard: Guard, trust: ssl.SSLContext) -> None:
        self._guard, self._trust = guard, trust
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Give the pools our connections."""
        super().init_poolmanager(*args, **options, ssl_context=self._trust)
        self.poolmanager.pool_classes_by_scheme = self._pools()

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Give the pools of a proxy our connections; TLS to it is verified as to others."""
        manager = super().proxy_manager_for(
            proxy, **options, ssl_context=self._trust, proxy_ssl_context=self._trust
        )
        manager.pool_classes_by_scheme = self._pools()
        return manager

    def _pools(self) -> dict[str, Any]:
        guard = self._guard

        class _Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return guard.connect(self._dns_host, self.port)

        class _Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return guard.connect(self._dns_host, self.port)

        class _PlainPool(HTTPConnectionPool):
            ConnectionCls = _Plain

        class _SecurePool(HTTPSConnectionPool):
            ConnectionCls = _Secure

        return {"http": _PlainPool, "https": _SecurePool}

    def cert_verify(self, conn: Any, url: str, _verify: Any, _cert: Any) -> None:
        """Leave verification to the context that was given; the pool would add authorities."""
        if url.lower().startswith("https:"):
            conn.cert_reqs = "CERT_REQUIRED"
