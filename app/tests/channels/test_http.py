"""The way out over HTTP, against servers that are real and wicked."""

from __future__ import annotations

import logging
import socket
import threading
import time
import traceback
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.channels.conftest import poster
from tests.support.slack_receiver import Answer, SlackReceiver

from hostpulse_server.notifications.channels import ChannelError
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from agent.tests.conftest import Authority

    from hostpulse_server.notifications.channels.http import HttpPoster

SECRET = "SECRET-xyz"
JSON = {"Content-Type": "application/json"}


def post(one: HttpPoster) -> None:
    """Send a small message."""
    one.post(b'{"text": "hello"}', JSON)


def refusal(one: HttpPoster) -> ChannelError:
    """Return the error of a message that is not taken."""
    with pytest.raises(ChannelError) as caught:
        post(one)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


@contextmanager
def listener(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the address of a server whose every connection is handed to ``talk``."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(20)
                        talk(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/services/{SECRET}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def read_request(connection: socket.socket) -> None:
    """Take a whole small request in."""
    got = b""
    while b'{"text": "hello"}' not in got:
        got += connection.recv(4096) or b'{"text": "hello"}'


def resolver(*addresses: str, asked: list[str] | None = None) -> Callable[..., Any]:
    """Return a resolver by which every name stands for these addresses."""

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        if asked is not None:
            asked.append(host)
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                0,
                "",
                (one, port, 0, 0) if ":" in one else (one, port),
            )
            for one in addresses
        ]

    return resolve


def test_a_message_arrives_over_tls(authority: Authority, trust: ssl.SSLContext) -> None:
    """With the authority that the other end's certificate is of."""
    with SlackReceiver(context=authority.server_context()) as secure:
        post(poster(secure.url, trust=trust))
        [got] = secure.await_posts(1)
    assert got.payload == {"text": "hello"}
    assert got.headers["user-agent"].startswith("hostpulse/")
    assert "cookie" not in got.headers


@pytest.mark.parametrize("how", ["authority", "name", "expired"])
def test_a_certificate_that_is_not_trusted_is_named(
    authority: Authority, trust: ssl.SSLContext, how: str
) -> None:
    """By another authority, for another name, too old; nothing is posted."""
    context = authority.server_context(days=-1 if how == "expired" else 1)
    with SlackReceiver(context=context) as secure:
        url = secure.url.replace("127.0.0.1", "localhost") if how == "name" else secure.url
        error = refusal(poster(url, trust=None if how == "authority" else trust))
        assert not secure.posts
    assert error.permanent
    assert "certificate is not trusted" in str(error)


def test_authorities_and_proxies_of_the_environment_are_not_used(
    authority: Authority,
    trust: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    receiver: SlackReceiver,
) -> None:
    """Nobody turns the way of messages by a variable."""
    proxy = receiver.url.partition("/services")[0]
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    with SlackReceiver(context=authority.server_context()) as secure:
        post(poster(secure.url, trust=trust))
        assert len(secure.posts) == 1
    with SlackReceiver() as plain:
        post(poster(plain.url))
        assert len(plain.posts) == 1
    assert not receiver.posts


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: SlackReceiver, status: int) -> None:
    """Not even to the same place."""
    with SlackReceiver() as other:
        receiver.answers.append(Answer(status, "", {"Location": other.url}))
        error = refusal(poster(receiver.url))
        assert not other.posts
    assert error.permanent
    assert "redirect" in str(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "[::ffff:127.0.0.1]"])
def test_private_addresses_are_refused_at_the_connection(
    receiver: SlackReceiver, host: str
) -> None:
    """Whatever the address is written like; nothing arrives."""
    error = refusal(poster(receiver.url.replace("127.0.0.1", host), allow_private=False))
    assert error.permanent
    assert "allow_private" in str(error)
    assert not receiver.posts


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("10.0.0.1", "127.0.0.1"),
        ("169.254.169.254",),
        ("::1", "127.0.0.1"),
        ("64:ff9b::7f00:1",),
    ],
)
def test_a_name_for_private_addresses_is_refused(
    receiver: SlackReceiver, addresses: tuple[str, ...]
) -> None:
    """All of its addresses are looked at."""
    url = f"http://hooks.example.org:{receiver.port}/{SECRET}"
    error = refusal(poster(url, allow_private=False, resolve=resolver(*addresses)))
    assert error.permanent
    assert "hooks.example.org" in str(error)
    assert addresses[0] in str(error)
    assert not receiver.posts


def test_what_was_looked_at_is_what_is_connected_to(receiver: SlackReceiver) -> None:
    """A name is resolved once a message: one that changes its mind gains nothing."""
    asked: list[str] = []
    url = f"http://hooks.example.invalid:{receiver.port}/{SECRET}"
    post(poster(url, resolve=resolver("127.0.0.1", asked=asked)))
    assert asked == ["hooks.example.invalid"]
    assert receiver.posts[0].headers["host"] == f"hooks.example.invalid:{receiver.port}"


def test_the_next_address_is_tried_where_one_does_not_answer(receiver: SlackReceiver) -> None:
    """As with two A records, one of a dead machine."""
    url = f"http://hooks.example.invalid:{receiver.port}/{SECRET}"
    post(poster(url, resolve=resolver("::1", "127.0.0.1")))
    assert len(receiver.posts) == 1


def test_a_name_that_is_not_known_passes() -> None:
    """The resolver may be back soon."""

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    error = refusal(poster(f"https://hooks.invalid/{SECRET}", resolve=unknown))
    assert not error.permanent
    assert "name cannot be resolved" in str(error)


def test_nobody_listening_passes() -> None:
    """The reason is told."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    error = refusal(poster(f"http://127.0.0.1:{port}/{SECRET}"))
    assert not error.permanent
    assert "refused" in str(error)


def test_a_connection_cut_before_the_answer_passes() -> None:
    """It may have arrived, it may not: trying again is right."""
    with listener(read_request) as url:
        error = refusal(poster(url))
    assert not error.permanent


@pytest.mark.parametrize("how", ["silent", "dripping head", "dripping handshake"])
def test_dawdling_ends_by_a_deadline_for_the_whole(how: str) -> None:
    """Also where each byte comes in time."""

    def drip(connection: socket.socket) -> None:
        if how != "dripping handshake":
            read_request(connection)
        else:
            connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB, which never ends
        end = time.monotonic() + 10
        while how != "silent" and time.monotonic() < end:
            connection.sendall(b"H" if how == "dripping head" else b"\x02")
            time.sleep(0.02)
        connection.recv(1)  # until the other end goes

    scheme = "https:" if how == "dripping handshake" else "http:"
    with listener(drip) as plain:
        url = plain.replace("http:", scheme)
        began = time.monotonic()
        error = refusal(poster(url, limits=(5.0, 0.4)))
        assert time.monotonic() - began < 3
    assert not error.permanent
    assert "0.4 s" in str(error) or "in time" in str(error)


def test_endless_bodies_are_not_read() -> None:
    """Of a refusal the beginning is enough; of a confirmation nothing."""

    def flood(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with listener(flood) as url:
        error = refusal(poster(url))
    assert error.permanent
    assert len(str(error)) < 400


def test_a_confirmation_counts_whose_body_never_comes() -> None:
    """Else a message would be sent twice."""

    def stall(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        connection.recv(1)

    with listener(stall) as url:
        post(poster(url, limits=(1.0, 5.0)))


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\xff" * 100_000],
)
def test_what_is_no_http_passes(garbage: bytes) -> None:
    """Nothing but ChannelError comes out."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(garbage)

    with listener(talk) as url:
        assert not refusal(poster(url)).permanent


def test_the_address_is_in_no_text(
    receiver: SlackReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Not where the other end gives it back, and not in what libraries log at their loudest."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "urllib3")  # influxdb-client makes it say less
    receiver.answers.append(
        Answer(403, f"no rights for {receiver.url} or /services/T0/B0/{SECRET}")
    )
    text = str(refusal(poster(receiver.url)))
    assert "no rights" in text
    assert caplog.text
    assert SECRET not in redact.text(caplog.text)


def test_retry_after_comes_with_the_error(receiver: SlackReceiver) -> None:
    """From the header of the answer."""
    receiver.answers.append(Answer(429, "rate_limited", {"Retry-After": "7"}))
    error = refusal(poster(receiver.url))
    assert (error.permanent, error.retry_after) == (False, 7.0)


def test_one_poster_serves_many_messages_and_leaves_no_socket(receiver: SlackReceiver) -> None:
    """After failures, too."""
    one = poster(receiver.url)
    receiver.answers.extend([Answer(500), Answer(), Answer(404), Answer()])
    for _ in range(2):
        refusal(one)
        post(one)
    assert len(receiver.posts) == 4
    assert threading.active_count() < 12


def test_a_message_has_a_connection_of_its_own() -> None:
    """Also after an answer that says nothing of closing, from a server that closes a bit later."""
    calls: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        calls.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
        time.sleep(0.2)  # the second message comes while this connection is still open

    with listener(talk) as url:
        one = poster(url)
        for _ in range(2):
            assert "503" in str(refusal(one))
    assert len(calls) == 2


@contextmanager
def proxy(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a proxy that answers each request, and the heads of those."""
    heads: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(4096)
            if not data:
                return
            head += data
        heads.append(head)
        connection.sendall(answer)

    with listener(talk) as url:
        yield url, heads


def names(host: str, *given: Any, **options: Any) -> Any:
    """Resolve as a host whose own names are not those of its proxy."""
    known = {"hooks.example.org": "9.9.9.9", "intranet.example.org": "10.0.0.7"}
    if host == "only.the.proxy.example":
        raise socket.gaierror
    return socket.getaddrinfo(known.get(host, host), *given, **options)


def test_a_proxy_takes_a_message_and_its_login(caplog: pytest.LogCaptureFixture) -> None:
    """Over http as a whole address; over https it is asked for a tunnel."""
    with proxy(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (url, heads):
        login = url.replace("//", "//ops:right%20horse@")
        post(poster("http://127.0.0.1:9/SECRET-xyz", proxy_url=login))
    assert heads[0].startswith(b"POST http://127.0.0.1:9/SECRET-xyz HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic b3BzOnJpZ2h0IGhvcnNl\r\n" in heads[0]
    assert "horse" not in caplog.text


@pytest.mark.parametrize("host", ["hooks.example.org", "only.the.proxy.example"])
def test_the_proxy_may_be_private_and_has_the_last_word(host: str) -> None:
    """It resolves the name; its own words are said, the address is not."""
    with proxy(b"HTTP/1.1 403 Not on the list\r\n\r\n") as (url, heads):
        one = poster(f"https://{host}/{SECRET}", proxy_url=url, allow_private=False, resolve=names)
        error = refusal(one)
    assert heads[0].startswith(f"CONNECT {host}:443 HTTP/1.".encode())
    assert str(error) == "the proxy refuses: 403 Not on the list"
    assert not error.permanent


@pytest.mark.parametrize("host", ["intranet.example.org", "127.0.0.1", "[::1]", "169.254.169.254"])
def test_no_proxy_makes_a_private_receiver_public(host: str) -> None:
    """The proxy is not even asked."""
    with proxy(b"HTTP/1.1 200 OK\r\n\r\n") as (url, heads):
        one = poster(f"https://{host}/{SECRET}", proxy_url=url, allow_private=False, resolve=names)
        error = refusal(one)
    assert "which is not a public address" in str(error)
    assert error.permanent
    assert heads == []
