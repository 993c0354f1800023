"""The one way by which channels post over HTTP: checked addresses, bounded time and size.

Redirects are not followed and no proxy of the environment is used, so what was checked is what is
connected to. A proxy of the configuration resolves the receiver itself: ``Guard.look_at``. The
address itself is a secret: it is all that is needed to post.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from hostpulse_server import __version__
from hostpulse_server.notifications.channels.base import ChannelError
from hostpulse_server.notifications.channels.responses import ChannelResponse, judge
from hostpulse_server.notifications.channels.sanitize import one_line
from hostpulse_server.notifications.channels.ssrf_guard import Adapter, Guard, RefusedError
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hostpulse_server.runtime.clock import Clock

CONNECT_SECONDS: Final = 5.0
WHOLE_SECONDS: Final = 15.0
MAX_ANSWER: Final = 4096
# causes by which nothing has been sent
_UNSENT: Final = (
    ConnectionRefusedError,
    ConnectTimeoutError,
    NewConnectionError,
    SSLError,
    requests.ConnectTimeout,
    socket.gaierror,
    ssl.SSLError,
)
_NO_TUNNEL: Final = "Tunnel connection failed: "
_SECRET_LENGTH: Final = 8  # of a part of an address: shorter ones are words such as "services"


class HttpPoster:
    """Posts to one secret address; used by one thread at a time.

    ``trust`` replaces the authorities that TLS is verified against, ``limits`` the seconds for
    connecting and for all of it, ``resolve`` the way from names to addresses. ``proxy_url`` may
    hold a login.
    """

    def __init__(  # noqa: PLR0913 - what a test replaces
        self,
        url: str,
        *,
        allow_private: bool,
        clock: Clock,
        trust: ssl.SSLContext | None = None,
        limits: tuple[float, float] = (CONNECT_SECONDS, WHOLE_SECONDS),
        resolve: Callable[..., Any] = socket.getaddrinfo,
        proxy_url: str = "",
    ) -> None:
        self._url = url
        self._proxy_url = proxy_url
        proxy = urlsplit(proxy_url)
        port = proxy.port or {"https": 443}.get(proxy.scheme, 80)
        self._clock = clock
        self._connect_seconds, self._whole_seconds = limits
        self._guard = Guard(
            allow_private=allow_private,
            connect_seconds=limits[0],
            resolve=resolve,
            proxy=(proxy.hostname, port) if proxy.hostname else None,
        )
        self._secrets = [*_secrets(url), *(_secrets(proxy_url) if proxy.username else ())]
        for secret in self._secrets:
            redact.hide(secret)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc, no authorities by the environment
        self._session.headers["User-Agent"] = f"hostpulse/{__version__}"
        adapter = Adapter(self._guard, trust or trusted())
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        if proxy_url:
            self._session.proxies = {"http": proxy_url, "https": proxy_url}

    def post(
        self, body: bytes, headers: Mapping[str, str], fixes: Mapping[str, str] | None = None
    ) -> None:
        """Post and return once the other end took it.

        Raises ChannelError, whose text never holds the address. ``fixes`` as for ``judge``.
        """
        with self._guard.deadline(self._whole_seconds) as is_over:
            try:
                answer = self._ask(body, headers)
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                raise self._failure(error, is_late=is_over()) from None
            finally:
                # Not every server announces that it closes: a kept connection may be a dead one for
                # the next message, and the guard watches only those that it opened for this one.
                self._session.close()
        judge(answer, self._clock.now_ms(), fixes)

    def _ask(self, body: bytes, headers: Mapping[str, str]) -> ChannelResponse:
        timeout = (self._connect_seconds, self._whole_seconds)
        if self._proxy_url:
            self._guard.look_at(urlsplit(self._url).hostname or "")
        with self._session.post(
            self._url,
            data=body,
            headers={**headers, "Accept-Encoding": "identity", "Connection": "close"},
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            text = "" if response.ok else self._said(response)
            return ChannelResponse(
                response.status_code, text, response.headers.get("Retry-After", "")
            )

    def _said(self, response: requests.Response) -> str:
        """Return the beginning of a body; the status counts, also where no body comes."""
        with contextlib.suppress(HTTPError, OSError):
            raw = response.raw.read(MAX_ANSWER, decode_content=False)
            return self._without_secrets(raw.decode("utf-8", "replace"))
        return ""

    def _failure(self, error: BaseException, *, is_late: bool) -> ChannelError:
        causes = list(_causes(error))
        refused = next((one for one in causes if isinstance(one, RefusedError)), None)
        if refused is not None:
            return ChannelError(str(refused), permanent=True)
        distrusted = next((one for one in causes if _is_distrust(one)), None)
        if distrusted is not None:
            text = f"its certificate is not trusted: {getattr(distrusted, 'verify_message', '')}"
            return ChannelError(self._without_secrets(text), permanent=True)
        if is_late:
            text = f"it did not answer within {self._whole_seconds:g} s"
            return ChannelError(text, maybe_taken=True)
        is_unsent = any(isinstance(one, _UNSENT) for one in causes)
        return ChannelError(self._without_secrets(_reason(causes)), maybe_taken=not is_unsent)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, redact.HIDDEN)
        return text


def trusted(ca_file: str = "") -> ssl.SSLContext:
    """Return the authorities of a file alone, else of this machine, or of certifi without any.

    Raises OSError for a file that cannot be read or holds no certificate.
    """
    if ca_file:
        return ssl.create_default_context(cafile=ca_file)
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    has_own = paths.cafile is not None or (
        paths.capath is not None and any(Path(paths.capath).iterdir())
    )
    if not has_own:
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def _secrets(url: str) -> list[str]:
    """Return the address and the parts of it that could be secret, the longest first."""
    parts = urlsplit(url)
    target = url.partition("://")[2].partition("/")[2]
    pieces = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query))]
    pieces += [parts.username or "", parts.password or "", parts.path.strip("/"), target]
    found = {piece for piece in pieces if len(piece) >= _SECRET_LENGTH}
    return sorted({*found, url}, key=len, reverse=True)


def _is_distrust(error: BaseException) -> bool:
    return isinstance(error, ssl.SSLCertVerificationError)


def _reason(causes: Sequence[BaseException]) -> str:
    """Return why there is no answer."""
    if any(isinstance(one, socket.gaierror) for one in causes):
        return "its name cannot be resolved"
    if any(isinstance(one, ssl.SSLError | SSLError) for one in causes):
        return "no TLS connection comes about"
    if any(isinstance(one, TimeoutError | requests.Timeout) for one in causes):
        return "it did not answer in time"
    # of the standard library: no answer but this text is kept
    refused = next((str(one) for one in causes if str(one).startswith(_NO_TUNNEL)), "")
    if refused:
        return f"the proxy refuses: {one_line(refused.removeprefix(_NO_TUNNEL), 200)}"
    said = [str(one.strerror) for one in causes if isinstance(one, OSError) and one.strerror]
    return f"the connection failed: {one_line((said or [type(causes[0]).__name__])[0], 100)}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps: as argument, as reason, as cause or context."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
