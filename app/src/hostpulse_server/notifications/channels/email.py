"""E-mail by a relay: STARTTLS, TLS or plain, with or without a login."""

from __future__ import annotations

import contextlib
import logging
import smtplib
import socket
import ssl
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from hostpulse_server.notifications.channels.base import ChannelError, PartlyRefusedError
from hostpulse_server.notifications.channels.http import trusted
from hostpulse_server.notifications.channels.mail_message import Mailbox, compose
from hostpulse_server.notifications.channels.sanitize import one_line
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import EmailMessage

    from hostpulse_server.config import EmailChannel
    from hostpulse_server.notifications.channels.base import Notification
    from hostpulse_server.notifications.channels.rendering import Templates

SECONDS: Final = 15.0  # for each answer of the relay
_PERMANENT: Final = range(500, 600)
_SHOWN: Final = 200

log = logging.getLogger(__name__)


class Email:
    """Hands one message for all recipients to a relay, whose address may be private.

    ``trust`` replaces the authorities that TLS is verified against, and ``helo`` is how we name
    ourselves where the settings do not say. Raises ValueError for an
    address that is none.
    """

    def __init__(
        self,
        name: str,
        settings: EmailChannel,
        password: str,
        templates: Templates,
        trust: ssl.SSLContext | None = None,
        helo: str = "",
    ) -> None:
        self._name = name
        self._helo = settings.helo or helo or None
        self._settings = settings
        self._password = password
        self._templates = templates
        self._trust = trust
        self._sender = Mailbox.parse(settings.sender)
        self._recipients = [Mailbox.parse(one) for one in settings.to]

    def send(self, notification: Notification, *, message_id: str) -> None:
        """Deliver to all recipients that the relay accepts; raises ChannelError without any."""
        message = compose(notification, message_id, self._sender, self._recipients, self._templates)
        try:
            refused = self._deliver(message, self._left(notification))
        except ChannelError:
            raise
        except smtplib.SMTPRecipientsRefused as error:
            raise _all_refused(error.recipients) from None
        except smtplib.SMTPResponseException as error:
            raise self._refusal(error) from None
        except smtplib.SMTPNotSupportedError as error:
            raise ChannelError(f"the relay cannot do this: {error}", permanent=True) from None
        except ssl.SSLCertVerificationError as error:
            text = f"the relay's certificate is not trusted: {error.verify_message}"
            raise ChannelError(text, permanent=True) from None
        except (smtplib.SMTPException, OSError) as error:
            raise ChannelError(f"{self._where}: {_reason(error)}") from None
        for address, answer in refused.items():
            log.warning(
                "channel %s: the relay refuses %s (%s); the others have the message",
                *(self._name, address, _said(*answer)),
            )
        if refused:
            never = {one: _said(*said) for one, said in refused.items() if said[0] in _PERMANENT}
            raise PartlyRefusedError(never, tuple(one for one in refused if one not in never))

    def _left(self, notification: Notification) -> list[str]:
        addresses = [one.address for one in self._recipients]
        left = [one for one in addresses if one in notification.recipients]
        return left or addresses

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def _deliver(self, message: EmailMessage, addresses: list[str]) -> dict[str, tuple[int, bytes]]:
        relay = self._connect()
        try:
            self._secure(relay)
            self._login(relay)
            # a local part beyond ASCII needs a relay that knows SMTPUTF8
            options = [] if all(map(str.isascii, addresses)) else ["SMTPUTF8"]
            try:
                refused = relay.sendmail(
                    self._sender.address, addresses, message.as_bytes(), mail_options=options
                )
            except (smtplib.SMTPServerDisconnected, ConnectionError, TimeoutError) as error:
                text = f"{self._where}: {_reason(error)}"
                raise ChannelError(text, maybe_taken=True) from None
        except BaseException:
            relay.close()
            raise
        with contextlib.suppress(smtplib.SMTPException, OSError):
            relay.quit()  # the message is confirmed, whatever comes of this
        return refused

    def _connect(self) -> smtplib.SMTP:
        one = self._settings
        if one.security == "tls":
            context = self._trust or trusted()
            return smtplib.SMTP_SSL(
                one.host, one.port, self._helo, timeout=SECONDS, context=context
            )
        return smtplib.SMTP(one.host, one.port, self._helo, timeout=SECONDS)

    def _secure(self, relay: smtplib.SMTP) -> None:
        relay.ehlo_or_helo_if_needed()
        if self._settings.security != "starttls":
            return
        if not relay.has_extn("starttls"):
            raise ChannelError(
                f"{self._where} offers no STARTTLS; "
                'set security = "tls" or, for a relay that has none, "none"',
                permanent=True,
            )
        relay.starttls(context=self._trust or trusted())
        relay.ehlo()

    def _login(self, relay: smtplib.SMTP) -> None:
        one = self._settings
        if not one.username:
            return
        if one.security == "none" and not _is_loopback(relay):
            raise ChannelError(
                'a password goes over TLS only; set security = "starttls" or "tls"', permanent=True
            )
        try:
            relay.login(one.username, self._password)
        except UnicodeEncodeError:  # of the standard library: smtplib logs in with ASCII only
            raise ChannelError(
                "a login goes with ASCII only; see username and password_file", permanent=True
            ) from None

    def _refusal(self, error: smtplib.SMTPResponseException) -> ChannelError:
        said = _said(error.smtp_code, error.smtp_error)
        permanent = error.smtp_code in _PERMANENT
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return ChannelError(
                f"{self._where} refuses the login of {self._settings.username} ({said}); "
                "see username and password_file",
                permanent=permanent,
            )
        if isinstance(error, smtplib.SMTPSenderRefused):
            return ChannelError(
                f"{self._where} refuses the sender {self._sender.address} ({said}); see from",
                permanent=permanent,
            )
        return ChannelError(f"{self._where} refuses the message ({said})", permanent=permanent)


def _is_loopback(relay: smtplib.SMTP) -> bool:
    peer = relay.sock.getpeername() if relay.sock is not None else ("",)
    try:
        return ip_address(str(peer[0]).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _all_refused(recipients: Mapping[str, tuple[int, bytes]]) -> ChannelError:
    """Return the error for no accepted recipient: permanent if every refusal is."""
    said = "; ".join(f"{address}: {_said(*answer)}" for address, answer in recipients.items())
    permanent = all(code in _PERMANENT for code, _ in recipients.values())
    return ChannelError(one_line(f"nobody can be reached: {said}", 400), permanent=permanent)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved"
    if isinstance(error, ssl.SSLError):
        return "no TLS connection comes about; see port and security"
    if isinstance(error, OSError) and error.strerror:
        return one_line(error.strerror, _SHOWN)
    return one_line(error, _SHOWN)


def _said(code: int, text: bytes | str) -> str:
    shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
    return one_line(redact.text(f"{code} {shown}"), _SHOWN)
