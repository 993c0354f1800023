"""Signed links of messages, by which a person without a key acknowledges or silences.

A token is base64url(HMAC-SHA256 ‖ payload), the payload a JSON array of version, end in epoch
milliseconds, incident and channel. Nothing about it is kept: whoever holds the key knows all that
were given out.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hostpulse_server.errors import LinkError

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig
    from hostpulse_server.runtime.clock import Clock

PATH: Final = "act"  # below the public address
KEY_BYTES: Final = 32
_DIGEST: Final = "sha256"
_DIGEST_BYTES: Final = 32
_VERSION: Final = 1
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
        payload = json.dumps(content, separators=(",", ":")).encode()
        try:
            key = _key_made(self._config.paths.link_key)
        except OSError as error:
            log.warning("messages go without links: %s", error)
            return ""
        return f"{public_url}/{PATH}/{_text(_signature(key, payload) + payload)}"

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
        raw = _bytes(token)
        payload = raw[_DIGEST_BYTES:]
        if not hmac.compare_digest(raw[:_DIGEST_BYTES], _signature(key, payload)):
            raise LinkError("This link was not made here.")
        _, expires_ms, incident, channel = json.loads(payload)
        if self._clock.now_ms() >= expires_ms:
            raise LinkError("This link has expired.", has_expired=True)
        return ActionLink(incident, channel, expires_ms)


def _signature(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, _DIGEST)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(token: str) -> bytes:
    """Return what the token stands for, ``b""`` if it is no token."""
    if len(token) > _MAX_TOKEN or not token.isascii():
        return b""
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        return b""
    return raw if _text(raw) == token else b""  # the decoder skips what it does not know


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
