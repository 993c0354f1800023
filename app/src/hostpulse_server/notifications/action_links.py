"""Signed links of messages, by which a person without a key acknowledges or silences.

A token is itsdangerous' ``URLSafeSerializer`` over a JSON array of version, end in epoch
milliseconds, incident and channel. Nothing about it is kept: the key alone tells which were given
out.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from itsdangerous import BadData, URLSafeSerializer

from hostpulse_server.errors import LinkError

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.runtime.clock import Clock

PATH: Final = "act"  # below the public address
KEY_BYTES: Final = 32
_VERSION: Final = 1
_SALT: Final = "hostpulse.act"
_DIGEST_BYTES: Final = 32
_MAX_TOKEN: Final = 2000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActionLink:
    """What a link lets its holder act on: the alerts of one incident, told on one channel."""

    incident: str
    channel: str
    expires_ms: int


class ActionLinks:
    """Makes and reads links; the key is made, 0600, when it is first needed.

    The key is read anew each time: removing its file makes all links worthless at once.
    """

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def url(self, incident: str, channel: str) -> str:
        """Return the address of the page for an incident, ``""`` where no public_url is set.

        Without a key that can be had it is ``""``, too, and the log says why: a message without a
        link is better than none.
        """
        public_url = self._config.site.public_url.rstrip("/")
        if not public_url:
            return ""
        expires_ms = self._clock.now_ms() + round(self._config.alerts.link_lifetime * 1000)
        content = [_VERSION, expires_ms, incident, channel]
        try:
            key = _key_made(self._config.paths.link_key)
        except OSError as error:
            log.warning("messages go without links: %s", error)
            return ""
        return f"{public_url}/{PATH}/{_serializer(key).dumps(content)}"

    def open(self, token: str) -> ActionLink:
        """Read a token; raises LinkError when it is forged or has expired."""
        try:
            key = _key_kept(self._config.paths.link_key)
        except FileNotFoundError:
            raise LinkError("This link was not made here.") from None
        except OSError as error:
            log.warning("no link can be opened: %s", error)
            raise LinkError(
                "This link cannot be checked; the server's log has the cause."
            ) from None
        _, expires_ms, incident, channel = _content(key, token)
        if self._clock.now_ms() >= expires_ms:
            raise LinkError("This link has expired.", has_expired=True)
        return ActionLink(incident, channel, expires_ms)


def _serializer(key: bytes) -> URLSafeSerializer:
    return URLSafeSerializer(
        key, _SALT, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
    )


def _content(key: bytes, token: str) -> list[Any]:
    """Return what a token was made from; raises LinkError when it is forged."""
    if len(token) <= _MAX_TOKEN and token.isascii():
        if "." not in token:
            return _content_before_0_1(key, token)
        serializer = _serializer(key)
        with contextlib.suppress(BadData):
            content: list[Any] = serializer.loads(token)
            if serializer.dumps(content) == token:  # base64 reads several spellings alike
                return content
    raise LinkError("This link was not made here.")


def _content_before_0_1(key: bytes, token: str) -> list[Any]:
    """Read a token as made before release 0.1.0: base64url(HMAC-SHA256 ‖ JSON).

    Such links live for ``[alerts] link_lifetime`` after an upgrade; then this can go.
    """
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raw = b""
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") == token
    signature, payload = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if canonical and hmac.compare_digest(signature, hmac.digest(key, payload, "sha256")):
        content: list[Any] = json.loads(payload)
        return content
    raise LinkError("This link was not made here.")


def _key_kept(path: Path) -> bytes:
    """Return the key; raises OSError, also for a file that cannot be one."""
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise OSError(f"{path} does not hold {KEY_BYTES} bytes; remove it and a new one is made")
    return key


def _key_made(path: Path) -> bytes:
    """Return the key, made if there is none; of two processes that make one the first wins."""
    try:
        return _key_kept(path)
    except FileNotFoundError:
        pass
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, no path
            if os.geteuid() == 0:  # a key that root makes is for the service's own user, too
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)  # appears whole, and never replaces another's
    finally:
        Path(name).unlink()
    return _key_kept(path)
