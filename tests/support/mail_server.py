"""A real SMTP server for tests: STARTTLS or TLS, a login, recipients and messages it refuses.

It also runs alone, plain, where aiosmtpd can be imported:

    python3 mail_server.py --port 2525 --record mail.jsonl
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email
import email.policy
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from email.message import EmailMessage


@dataclass(frozen=True)
class Received:
    """One message as the server took it; ``content`` are its bytes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    login: str
    is_encrypted: bool
    helo: str = ""

    @property
    def message(self) -> EmailMessage:
        """The message, read."""
        return email.message_from_bytes(self.content, policy=email.policy.default)

    def part(self, kind: str) -> str:
        """Return the text of the ``plain`` or ``html`` part."""
        found = self.message.get_body((kind,))
        assert found is not None, f"there is no {kind} part"
        return str(found.get_content())


class MailServer:
    """Takes mail on a free port of the loopback until it is closed.

    ``record`` is a file for what arrives, a JSON a line.
    ``context`` with ``is_tls``: TLS from the start; without: STARTTLS is offered and, with
    ``accounts`` (name → password), required before a login. ``answers`` are replies in place of
    250: by recipient, or for ``DATA``, ``MAIL`` and so on.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        is_tls: bool = False,
        accounts: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        record: str = "",
    ) -> None:
        self.received: list[Received] = []
        self.answers: dict[str, str] = {}
        self._accounts = accounts
        self._context = context
        self._arrived = threading.Condition()
        self._is_tls = is_tls
        self._sessions: list[SMTP] = []
        self._host = host
        self._record = record
        self.port = port
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10), "the mail server does not start"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        context = self._context if self._is_tls else None
        server = await self._loop.create_server(self._session, self._host, self.port, ssl=context)
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        await self._stop.wait()
        server.close()
        for session in self._sessions:
            if session.transport is not None:
                session.transport.close()
        await asyncio.sleep(0)  # what was closed is let go of

    def _session(self) -> SMTP:
        session = SMTP(self, loop=self._loop, **self._options())
        self._sessions.append(session)
        return session

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"hostname": "mail.test", "enable_SMTPUTF8": True}
        has_starttls = self._context is not None and not self._is_tls
        if has_starttls:
            options["tls_context"] = self._context
        if self._accounts is not None:
            options["authenticator"] = self._authenticate
            options["auth_require_tls"] = has_starttls
            options["auth_required"] = has_starttls
        return options

    def _authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        if not isinstance(data, LoginPassword):
            return AuthResult(success=False, handled=False)
        name, password = data.login.decode(), data.password.decode()
        is_right = (self._accounts or {}).get(name) == password
        return AuthResult(success=is_right, handled=False, auth_data=name if is_right else None)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer MAIL."""
        if "MAIL" in self.answers:
            return self.answers["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - as above
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Answer RCPT."""
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - as above
        self, _server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep a message."""
        if "DATA" in self.answers:
            return self.answers["DATA"]
        content = envelope.content
        assert isinstance(content, bytes)
        taken = Received(
            str(envelope.mail_from),
            tuple(envelope.rcpt_tos),
            content,
            str(getattr(session, "auth_data", None) or ""),
            is_encrypted=session.ssl is not None or self._is_tls,
            helo=str(session.host_name),
        )
        with self._arrived:
            self.received.append(taken)
            if self._record:
                self._note(taken)
            self._arrived.notify_all()
        return "250 OK"

    def _note(self, taken: Received) -> None:
        """Write down a message."""
        line = {
            "sender": taken.sender,
            "recipients": taken.recipients,
            "content": taken.content.decode("utf-8", "replace"),
        }
        with open(self._record, "a", encoding="utf-8") as file:  # noqa: PTH123 - one line
            file.write(json.dumps(line) + "\n")

    def await_mail(self, count: int, seconds: float = 10.0) -> list[Received]:
        """Return all mail once there are ``count`` messages of it."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.received) >= count, seconds):
                raise AssertionError(f"{len(self.received)} of {count} mails in {seconds:g} s")
            return list(self.received)

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> Self:
        """Return itself, running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.close()


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description="Take mail.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", default="", help="a file for what arrives, a JSON a line")
    given = parser.parse_args()
    with MailServer(host=given.host, port=given.port, record=given.record) as server:
        print(f"{given.host}:{server.port}", flush=True)  # noqa: T201 - who starts it reads this
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
