"""Mail by a relay that is real: how it is reached, what it refuses, what arrives."""

from __future__ import annotations

import dataclasses
import socket
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.channels.conftest import FIRING, RESOLVED
from tests.support.mail_server import MailServer

from hostpulse_server.config import EmailChannel
from hostpulse_server.notifications.channels import ChannelError, Notification
from hostpulse_server.notifications.channels.base import PartlyRefusedError
from hostpulse_server.notifications.channels.email import Email
from hostpulse_server.notifications.channels.rendering import Templates
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from agent.tests.conftest import Authority

ACCOUNTS = {"ops": "right horse"}
TO = ("ops@example.org", "boss@example.org")


@pytest.fixture
def relay() -> Iterator[MailServer]:
    """Give a plain relay."""
    with MailServer() as made:
        yield made


def mailer(
    port: int, password: str = "", trust: ssl.SSLContext | None = None, **changes: Any
) -> Email:
    """Return a channel to a relay on the loopback."""
    values = {"security": "none", "sender": "hostpulse@example.org", "to": TO, **changes}
    settings = EmailChannel(host="127.0.0.1", port=port, **values)
    return Email("mail", settings, password, Templates(), trust)


def send(one: Email, notification: Notification = FIRING, message_id: str = "ab12cd.7") -> None:
    """Send a message."""
    one.send(notification, message_id=message_id)


def refusal(one: Email) -> ChannelError:
    """Return the error of a message that is not taken."""
    with pytest.raises(ChannelError) as caught:
        send(one)
    return caught.value


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_login_goes_over_tls(authority: Authority, trust: ssl.SSLContext, security: str) -> None:
    """From the start or by STARTTLS, verified against the authorities."""
    context = authority.server_context()
    with MailServer(context, is_tls=security == "tls", accounts=ACCOUNTS) as relay:
        send(mailer(relay.port, "right horse", trust, security=security, username="ops"))
        (received,) = relay.await_mail(1)
    assert (received.is_encrypted, received.login) == (True, "ops")


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_ends_it(authority: Authority, security: str) -> None:
    """For good, so that another channel is used at once; neither login nor message went out."""
    context = authority.server_context()
    with MailServer(context, is_tls=security == "tls", accounts=ACCOUNTS) as relay:
        error = refusal(mailer(relay.port, "right horse", security=security, username="ops"))
        assert not relay.received
    assert "certificate is not trusted" in str(error)
    assert error.permanent


def test_a_plain_relay_takes_mail_and_a_login_on_the_loopback(relay: MailServer) -> None:
    """As an MTA of the host itself does."""
    send(mailer(relay.port))
    assert not relay.await_mail(1)[0].is_encrypted
    with MailServer(accounts=ACCOUNTS) as own:
        send(mailer(own.port, "right horse", username="ops"))
        assert own.await_mail(1)[0].login == "ops"


@pytest.mark.parametrize("password", ["wrong horse", "wröng horse"])
def test_a_login_that_is_refused_is_for_good_and_says_where_to_look(
    authority: Authority, trust: ssl.SSLContext, password: str
) -> None:
    """The password is in no text."""
    with MailServer(authority.server_context(), accounts=ACCOUNTS) as relay:
        error = refusal(mailer(relay.port, password, trust, security="starttls", username="ops"))
    assert error.permanent
    assert "see username and password_file" in str(error)
    assert password not in str(error)


def test_a_relay_without_starttls_gets_nothing(relay: MailServer) -> None:
    """Where it was asked for; the fix is named."""
    error = refusal(mailer(relay.port, security="starttls"))
    assert error.permanent
    assert 'set security = "tls" or' in str(error)
    assert not relay.received


def test_those_that_are_taken_have_the_message(
    relay: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a relay refuses some; the log names the others."""
    relay.answers["boss@example.org"] = "550 5.1.1 No such user"
    error = refusal(mailer(relay.port))
    assert isinstance(error, PartlyRefusedError)
    assert (dict(error.refused), error.later) == (
        {"boss@example.org": "550 5.1.1 No such user"},
        (),
    )
    assert relay.await_mail(1)[0].recipients == ("ops@example.org",)
    assert "refuses boss@example.org (550 5.1.1 No such user)" in caplog.text


@pytest.mark.parametrize(("second", "permanent"), [("550 No", True), ("450 Later", False)])
def test_nobody_taken_is_for_good_only_if_none_ever_will_be(
    relay: MailServer, second: str, *, permanent: bool
) -> None:
    """All that was said is told."""
    relay.answers |= {"ops@example.org": "551 Moved", "boss@example.org": second}
    error = refusal(mailer(relay.port))
    assert error.permanent is permanent
    assert f"ops@example.org: 551 Moved; boss@example.org: {second}" in str(error)


@pytest.mark.parametrize(
    ("step", "answer", "permanent", "words"),
    [
        ("DATA", "554 5.7.1 Spam", True, "refuses the message (554 5.7.1 Spam)"),
        ("DATA", "452 4.3.1 Full", False, "refuses the message (452 4.3.1 Full)"),
        ("MAIL", "550 5.7.1 Who", True, "refuses the sender hostpulse@example.org"),
        ("MAIL", "451 Later", False, "(451 Later); see from"),
    ],
)
def test_answers_of_a_relay_are_for_good_or_pass(
    relay: MailServer, step: str, answer: str, words: str, *, permanent: bool
) -> None:
    """By their first digit; its words are told."""
    relay.answers[step] = answer
    error = refusal(mailer(relay.port))
    assert error.permanent is permanent
    assert words in str(error)


def test_a_relay_that_is_not_there_passes() -> None:
    """Address and reason are told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refusal(mailer(port))
    assert not error.permanent
    assert str(error) == f"127.0.0.1:{port}: Connection refused"


def test_an_address_beyond_ascii_is_reached(relay: MailServer) -> None:
    """By SMTPUTF8; its domain in the form that DNS has."""
    send(mailer(relay.port, to=("Jörg <jörg@exämple.org>",)))
    (received,) = relay.await_mail(1)
    assert received.recipients == ("jörg@xn--exmple-cua.org",)
    assert "To: Jörg <jörg@xn--exmple-cua.org>\r\n".encode() in received.content


def test_the_messages_of_an_incident_are_a_thread(relay: MailServer) -> None:
    """Also where the first did not arrive; another channel or incident is another thread."""
    one = mailer(relay.port)
    send(one, FIRING, "ab12cd.7")
    send(one, dataclasses.replace(FIRING, kind="update", number=2), "ab12cd.8")
    send(one, dataclasses.replace(RESOLVED, number=3), "ab12cd.9")
    send(one, dataclasses.replace(FIRING, incident="ef34"), "ef34.10")
    first, *later, other = [received.message for received in relay.await_mail(4)]
    assert first["Message-ID"] == "<incident-ab12cd.chat@example.org>"
    assert first["In-Reply-To"] is first["References"] is None
    assert [one["Message-ID"] for one in later] == [
        "<ab12cd.8@example.org>",
        "<ab12cd.9@example.org>",
    ]
    for message in later:
        assert message["In-Reply-To"] == message["References"] == first["Message-ID"]
    assert other["Message-ID"] == "<incident-ef34.chat@example.org>"


def test_the_words_of_a_relay_are_kept_without_secrets(relay: MailServer) -> None:
    """An operator finds the cause in them; a relay may repeat what it was given."""
    redact.hide("right horse")
    relay.answers["DATA"] = "554 5.7.1 Blocked, see https://postmaster.example.org (right horse)"
    error = refusal(mailer(relay.port))
    assert "554 5.7.1 Blocked, see https://postmaster.example.org (***)" in str(error)


def test_no_machine_answers_and_both_parts_are_there(relay: MailServer) -> None:
    """Text first, HTML for those who show it; the date is that of the message."""
    send(mailer(relay.port))
    message = relay.await_mail(1)[0].message
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["Date"].datetime.timestamp() * 1000 == FIRING.created_ms
    parts = [(part.get_content_type(), part.get_content_charset()) for part in message.walk()]
    assert parts == [
        ("multipart/alternative", None),
        ("text/plain", "utf-8"),
        ("text/html", "utf-8"),
    ]
