"""A notification as an e-mail: text and HTML, threaded by incident. Pure: it knows no socket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.notifications.channels import message_context
from hostpulse_server.notifications.channels.sanitize import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.notifications.channels.base import Notification
    from hostpulse_server.notifications.channels.rendering import Rendered, Templates

_SUBJECT: Final = 200
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LOCAL: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+")
_DOMAIN: Final = re.compile(r"[^\s@<>,;:\"()\\/\x00-\x1f\x7f]+")
_NAMED: Final = re.compile(r"\s*\"?([^<>\"\x00-\x1f\x7f]*?)\"?\s*<([^<>]+)>\s*")
# quoted-printable, so that no relay has to be able to do more; lines end as SMTP wants them
_POLICY: Final = policy.SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mail address; the domain is in its ASCII form."""

    name: str
    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Read ``a@b.example`` or ``Name <a@b.example>``; raises ValueError that says more."""
        named = _NAMED.fullmatch(text)
        name, address = (named[1], named[2]) if named else ("", text.strip())
        local, at, domain = address.strip().rpartition("@")
        if not at or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain):
            raise ValueError("is no mail address such as ops@example.org")
        try:
            ascii_domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("has a domain that cannot be one") from None
        return cls(one_line(name, 100), local, ascii_domain)

    @property
    def address(self) -> str:
        """The address as SMTP takes it."""
        return f"{self.local}@{self.domain}"

    @property
    def header(self) -> Address:
        """The address as a header shows it."""
        return Address(self.name, self.local, self.domain)


def compose(
    notification: Notification,
    message_id: str,
    sender: Mailbox,
    recipients: Sequence[Mailbox],
    templates: Templates,
) -> EmailMessage:
    """Return the message; headers are made by the standard library, which refuses line ends."""
    notified = message_context.build_context(notification, message_id)
    subject, text, page = _texts(notified, templates)
    is_ascii = all(one.local.isascii() for one in (sender, *recipients))
    message = EmailMessage(policy=_POLICY if is_ascii else _POLICY.clone(utf8=True))
    message["Subject"] = _no_encoded_word(one_line(subject, _SUBJECT))
    message["From"] = sender.header
    message["To"] = [one.header for one in recipients]
    message["Date"] = datetime.fromtimestamp(notification.created_ms / 1000, UTC)
    own, first = _ids(notification, message_id, sender.domain)
    message["Message-ID"] = own
    if first != own:
        message["In-Reply-To"] = first
        message["References"] = first
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers of the holiday kind
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    message["X-Hostpulse-Kind"] = notification.kind
    message.set_content(_printable(text), cte="quoted-printable")
    message.add_alternative(_printable(page), subtype="html", cte="quoted-printable")
    return message


def _texts(notified: dict[str, Any], templates: Templates) -> tuple[str, str, str]:
    """Return subject, text and HTML; both bodies name a template that cannot be used."""
    names = ("mail_subject.txt", "mail.txt", "mail.html")
    made = [templates.render(name, notified) for name in names]
    if any(one.fault for one in made):
        message_context.add_note(notified, *(one.fault for one in made))
        made = [
            _again(name, one, notified, templates) for name, one in zip(names, made, strict=True)
        ]
    subject, text, page = (one.text for one in made)
    return subject, text, page


def _again(name: str, made: Rendered, notified: dict[str, Any], templates: Templates) -> Rendered:
    return templates.render(name, notified, only_ours=bool(made.fault) or made.is_ours)


def _ids(notification: Notification, message_id: str, domain: str) -> tuple[str, str]:
    """Return this message's id and the one of the first of its incident.

    The first is named after the incident, so that all later ones know it without having kept it.
    """
    own = f"<{_UNFIT.sub('-', message_id)[:200]}@{domain}>"
    if not notification.incident:
        return own, own
    thread = _UNFIT.sub("-", f"incident-{notification.incident}.{notification.channel}")[:200]
    first = f"<{thread}@{domain}>"
    return (first if notification.number == 1 else own), first


def _no_encoded_word(text: str) -> str:
    """Return a header's text in which none begins: the standard library would decode it.

    What it holds may be line ends, and those would make headers. RFC 2047
    """
    return text.replace("=?", "= ?")


def _printable(text: str) -> str:
    """Return a body without what is no text; line ends are the standard library's."""
    lines = text.splitlines()
    return "".join(f"{''.join(c if c.isprintable() else ' ' for c in line)}\n" for line in lines)
