"""Posting over real sockets: TLS, broken peers, proxies, and the error messages."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from agent.tests.conftest import KEY, Authority, Receiver

from hostpulse_agent import wire
from hostpulse_agent.errors import TransportError
from hostpulse_agent.transport import Response, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BODY = wire.envelope(wire.Header("web-01", "b", "m"), "s", 1, {"facts": {}}, [])
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def post() -> Iterator[Callable[..., Response]]:
    """Return a function that posts with one transport."""
    made: list[Transport] = []

    def call(url: str, timeout: float = 5.0, **options: Any) -> Response:
        if not made:
            made.append(Transport(**options))
        return made[0].post(url, KEY, BODY, timeout)

    yield call
    for transport in made:
        transport.close()


@pytest.fixture
def scripted() -> Iterator[Callable[[bytes], str]]:
    """Return a function that starts a server which answers one request with given bytes."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(65536)
                connection.sendall(answer)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("is_late", [False, True])
def test_a_surplus_answer_is_never_that_of_the_next_request(
    post: Callable[..., Response], *, is_late: bool
) -> None:
    """It would acknowledge samples that the server never saw; the next has a new connection."""
    receipt = b'{"accepted": 1}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + receipt
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[int] = []
    sent = threading.Event()

    def serve() -> None:
        for number, answers in enumerate((2, 1)):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(65536)
                requests.append(number)
                connection.sendall(answer)
                if is_late:
                    time.sleep(0.05)
                connection.sendall(answer * (answers - 1))
                sent.set()
                with contextlib.suppress(ConnectionError):
                    while connection.recv(65536):
                        requests.append(number)
                        connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert post(url).status == 200
    assert sent.wait(5)
    time.sleep(0.02)  # what was sent has arrived
    assert post(url).status == 200
    assert requests == [0, 1]
    listener.close()


def test_the_request_is_what_the_contract_says(
    receiver: Receiver, post: Callable[..., Response]
) -> None:
    """Path, key, encoding and envelope arrive."""
    assert post(receiver.url + "/prefix").status == 200
    (request,) = receiver.received
    assert request.path == "/prefix/api/v1/metrics"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-encoding"] == "gzip"
    assert request.envelope["agent"]["machine"] == "m"
    assert request.envelope["samples"] == []


def test_the_connection_is_kept(receiver: Receiver, post: Callable[..., Response]) -> None:
    """Many posts, one connection."""
    for _ in range(5):
        post(receiver.url)
    assert receiver.connections == 1


def test_an_idle_connection_closed_by_the_server_is_replaced(
    receiver: Receiver, post: Callable[..., Response]
) -> None:
    """The post succeeds on a second connection, unnoticed."""
    receiver.answers = lambda _request: (200, {"Connection": "keep-alive"}, {})
    post(receiver.url)
    for connection in list(receiver._open):
        connection.shutdown(socket.SHUT_RDWR)
    assert post(receiver.url).status == 200
    assert receiver.connections == 2


def test_a_private_ca_is_trusted(authority: Authority, post: Callable[..., Response]) -> None:
    """TLS with the CA file of the configuration."""
    server = Receiver(authority.server_context())
    assert post(server.url, ca_file=str(authority.ca_file)).status == 200
    server.close()


def test_a_wrong_ca_is_named(
    tmp_path: Path, authority: Authority, post: Callable[..., Response]
) -> None:
    """The message names the CA file and the cure; nothing was sent."""
    other = Authority(tmp_path, "other-ca")
    server = Receiver(authority.server_context())
    with pytest.raises(TransportError, match=r"not signed by .*other-ca.pem.*copy the server's CA"):
        post(server.url, ca_file=str(other.ca_file))
    assert server.received == []
    server.close()


def test_the_issuing_authority_alone_is_enough(
    tmp_path: Path, authority: Authority, post: Callable[..., Response]
) -> None:
    """Many sites hand out the intermediate, and keep the root to themselves."""
    intermediate = Authority(tmp_path, "intermediate", authority)
    server = Receiver(intermediate.server_context())
    assert post(server.url, ca_file=str(intermediate.ca_file)).status == 200
    server.close()


def test_a_server_that_sends_only_its_leaf_is_explained(
    tmp_path: Path, authority: Authority, post: Callable[..., Response]
) -> None:
    """The CA file is right; what is missing is the server's to send."""
    intermediate = Authority(tmp_path, "intermediate", authority)
    server = Receiver(intermediate.server_context())
    with pytest.raises(TransportError, match="let the server send that one's certificate, too"):
        post(server.url, ca_file=str(authority.ca_file))
    server.close()


def test_a_repaired_ca_file_is_read_anew(
    tmp_path: Path, authority: Authority, post: Callable[..., Response]
) -> None:
    """No restart is needed once the right file is there."""
    other = Authority(tmp_path, "other-ca")
    server = Receiver(authority.server_context())
    with pytest.raises(TransportError):
        post(server.url, ca_file=str(other.ca_file))
    other.ca_file.write_bytes(authority.ca_file.read_bytes())
    assert post(server.url).status == 200
    server.close()


@pytest.mark.parametrize(
    ("address", "days", "words"),
    [("127.0.0.9", 1.0, "for another name"), ("127.0.0.1", -1.0, "out of date")],
)
def test_an_unfit_certificate_is_explained(
    authority: Authority,
    post: Callable[..., Response],
    address: str,
    days: float,
    words: str,
) -> None:
    """A wrong name and an expired certificate have different cures."""
    server = Receiver(authority.server_context(address, days))
    with pytest.raises(TransportError, match=words):
        post(server.url, ca_file=str(authority.ca_file))
    server.close()


def test_an_unknown_authority_without_a_ca_file_asks_for_one(
    authority: Authority, post: Callable[..., Response]
) -> None:
    """The system's authorities do not know a private CA."""
    server = Receiver(authority.server_context())
    with pytest.raises(TransportError, match=r"name its CA certificate in server\.ca_file"):
        post(server.url)
    server.close()


def test_a_port_without_tls_is_recognised(
    receiver: Receiver, post: Callable[..., Response]
) -> None:
    """Https to a plain port says so."""
    with pytest.raises(TransportError, match=r"does not speak TLS|TLS failed|cut before"):
        post(receiver.url.replace("http:", "https:"))


def test_a_broken_ca_file_is_named(tmp_path: Path, post: Callable[..., Response]) -> None:
    """The error names the file that holds no certificate."""
    listener = socket.create_server(("127.0.0.1", 0))
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(TransportError, match=r"ca\.pem"):
        post(f"https://127.0.0.1:{listener.getsockname()[1]}", ca_file=str(tmp_path / "ca.pem"))
    listener.close()


def test_nobody_listening_is_explained(post: Callable[..., Response]) -> None:
    """Connection refused, unknown name: what to check."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match="is the server running"):
        post(f"http://127.0.0.1:{port}")
    with pytest.raises(TransportError, match=r"does not resolve"):
        post("https://no-such-host.invalid")


def test_a_hanging_server_costs_the_timeout(
    receiver: Receiver, post: Callable[..., Response]
) -> None:
    """And the words point to what swallows packets."""
    receiver.answers = lambda _request: "hang"
    began = time.monotonic()
    with pytest.raises(TransportError, match="no answer in time"):
        post(receiver.url, timeout=0.2)
    assert time.monotonic() - began < 2.0


def test_a_reset_is_an_error_on_a_new_connection(
    receiver: Receiver, post: Callable[..., Response]
) -> None:
    """It is not tried forever."""
    receiver.answers = lambda _request: "reset"
    with pytest.raises(TransportError, match="cut before the answer"):
        post(receiver.url)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", 503, b""),
        (
            CHUNKED + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n",
            200,
            b"abcde",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil closed", 200, b"until closed"),
        (b"HTTP/1.1 429 \r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 429, b""),
    ],
)
def test_answers_of_all_shapes_are_read(
    scripted: Callable[[bytes], str],
    post: Callable[..., Response],
    answer: bytes,
    status: int,
    body: bytes,
) -> None:
    """Lengths, chunks, interim answers, and a body that ends with the connection."""
    response = post(scripted(answer))
    assert (response.status, response.body) == (status, body)
    assert response.retry_after == ("7" if status == 429 else None)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        CHUNKED + b"ffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"",
    ],
)
def test_what_is_no_answer_is_an_error(
    scripted: Callable[[bytes], str], post: Callable[..., Response], answer: bytes
) -> None:
    """Nonsense, wrong lengths and endless heads end in a readable error."""
    with pytest.raises(TransportError, match="http://127"):
        post(scripted(answer))


def test_a_proxy_gets_a_tunnel(authority: Authority) -> None:
    """TLS runs through CONNECT; the proxy sees neither key nor sample."""
    server = Receiver(authority.server_context())
    seen: list[bytes] = []
    proxy = socket.create_server(("127.0.0.1", 0))

    def relay() -> None:
        inner, _ = proxy.accept()
        seen.append(inner.recv(65536))
        outer = socket.create_connection(("127.0.0.1", server.port))
        inner.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    seen.append(data)
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        back = threading.Thread(target=pump, args=(outer, inner))
        back.start()
        pump(inner, outer)
        back.join()
        inner.close()
        outer.close()

    thread = threading.Thread(target=relay)
    thread.start()
    address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
    transport = Transport(str(authority.ca_file), address)
    assert transport.post(server.url, KEY, BODY, 5.0).status == 200
    transport.close()
    server.close()
    thread.join()
    proxy.close()
    assert seen[0].startswith(b"CONNECT 127.0.0.1:")
    assert KEY.encode() not in b"".join(seen)


def test_a_refusing_proxy_is_named(
    scripted: Callable[[bytes], str], post: Callable[..., Response]
) -> None:
    """The answer of the proxy is not taken for the server's."""
    proxy = scripted(b"HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(TransportError, match="the proxy answers 407"):
        post("https://127.0.0.1:9", proxy_url=proxy)
