"""What operators read when a server cannot be used: each fault with its way out."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from testbed.influxdb.local import Influxd
from tests.support.http_server import QuietHandler, serving

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType


class Other(QuietHandler):
    """Answers everything alike: a server that is no InfluxDB 2, or not ready."""

    def respond(self) -> None:
        """Send what the test gave, and note whether a token came."""
        server: Any = self.server
        server.heard.append(self.headers.get("Authorization"))
        server.cookies.append(self.headers.get("Cookie"))
        self.reply(server.status, server.body, server.headers)


@contextmanager
def other(
    body: Any, status: int = 200, context: ssl.SSLContext | None = None, **headers: str
) -> Iterator[Any]:
    """Run such a server on localhost, with TLS if a context is given."""
    with serving(Other, host="localhost", context=context) as server:
        text = body if isinstance(body, str) else json.dumps(body)
        vars(server).update(body=text.encode(), status=status, headers=headers)
        vars(server).update(heard=[], cookies=[])
        yield server


@pytest.fixture
def told(controller: Any) -> Any:
    """Ask a server for an organization; give the message."""
    controller.token_file.write_text("an-operator-token\n")

    def ask(url: str, **more: Any) -> str:
        return str(controller.run("organization", name="x", url=url, **more)["msg"])

    return ask


def test_a_server_that_is_not_there_is_told(told: Any) -> None:
    """Refused, and a name that nobody knows."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        assert f"{url} cannot be reached: [Errno 111] Connection refused; is influxd" in told(url)
    assert "cannot be reached" in told("http://nobody.invalid:8086")


def test_a_server_that_is_silent_is_told(told: Any) -> None:
    """After the time-out that was given."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = told(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=1)
    assert "did not answer within 1 s" in said
    assert "or raise timeout" in said


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("1.8.10", "is InfluxDB 1.8.10; this needs InfluxDB 2, from 2.1 on"),
        ("v2.0.9", "is InfluxDB v2.0.9; this needs InfluxDB 2, from 2.1 on"),
        ("3.0.1", "is InfluxDB 3.0.1; this needs InfluxDB 2"),
    ],
)
def test_another_version_is_told(told: Any, version: str, reason: str) -> None:
    """Before anything is asked of it."""
    with other({"name": "influxdb", "status": "pass", "version": version}) as server:
        assert reason in told(f"http://localhost:{server.server_port}")
        assert len(server.heard) == 1


@pytest.mark.parametrize("body", ["OK", "", [], {"status": "pass"}, "<html>"])
def test_a_server_that_is_no_influxdb_is_told(told: Any, body: Any) -> None:
    """A web server on that port, say."""
    with other(body) as server:
        assert "not as InfluxDB 2 does; check url" in told(f"http://localhost:{server.server_port}")


def test_a_server_that_is_not_ready_is_told(told: Any) -> None:
    """In its own words."""
    body = {"name": "influxdb", "status": "fail", "version": "2.9.1", "message": "disk full"}
    with other(body, 503) as server:
        assert "is not ready: disk full" in told(f"http://localhost:{server.server_port}")


def test_a_redirection_takes_no_token_elsewhere(told: Any) -> None:
    """It is not followed; nor is a proxy of the environment used."""
    with other("") as there, other("", 307, Location=f"http://localhost:{there.server_port}") as at:
        assert "not as InfluxDB 2 does" in told(f"http://localhost:{at.server_port}")
        assert there.heard == []


def test_no_proxy_sees_the_token(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment of the target says."""
    with other("") as proxy:
        monkeypatch.setenv("http_proxy", f"http://localhost:{proxy.server_port}")
        with other("") as server:
            told(f"http://localhost:{server.server_port}")
            assert (len(server.heard), proxy.heard) == (1, [])


def test_no_password_of_a_netrc_file_replaces_the_token(
    told: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though Ansible's own client would take one that the target's user keeps for this host."""
    (tmp_path / "netrc").write_text("machine localhost login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with other("") as server:
        told(f"http://localhost:{server.server_port}")
        assert server.heard == ["Token an-operator-token"]


def test_no_cookie_goes_along_with_later_requests(
    utilities: dict[str, ModuleType],
) -> None:
    """A session that one request began is not used by the next."""
    with other("", **{"Set-Cookie": "session=mine; Path=/"}) as server:
        client = utilities["influxdb"].Client(f"http://localhost:{server.server_port}")
        assert client.send("GET", "/", None, {})[1].startswith("session=mine")
        client.send("GET", "/", None, {})
        assert server.cookies == [None, None]


def test_faults_of_tls_are_told(
    told: Any, self_signed: Any, tmp_path: Path, influxd: Influxd
) -> None:
    """An unknown authority, another name, no TLS there, none here, no file."""
    context = self_signed("theirs")
    self_signed("ours")
    theirs, ours = tmp_path / "theirs.pem", tmp_path / "ours.pem"
    with other({"name": "influxdb", "status": "fail"}, context=context) as server:
        url = f"https://localhost:{server.server_port}"
        assert "is not trusted" in told(url, ca_file=str(ours))
        assert "is not trusted" in told(url)
        assert "is not ready" in told(url, ca_file=str(theirs))
        other_name = told(url.replace("localhost", "127.0.0.1"), ca_file=str(theirs))
        assert "IP address mismatch" in other_name
        assert server.heard == ["Token an-operator-token"]
    assert "does not speak TLS" in told(influxd.url.replace("http:", "https:"), ca_file=str(ours))
    assert "no.pem cannot be read" in told(url, ca_file=str(tmp_path / "no.pem"))


@pytest.mark.integration
def test_tls_that_influxd_itself_speaks_is_used(
    controller: Any, self_signed: Any, tmp_path: Path
) -> None:
    """With the authority of its certificate; plain http to it is told apart."""
    self_signed("server")
    pem, key = tmp_path / "server.pem", tmp_path / "server.key"
    options = [f"--tls-cert={pem}", f"--tls-key={key}"]
    with Secure.fresh(tmp_path / "influxd", options) as server:
        url = f"https://localhost:{server.port}"
        given = {"url": url, "ca_file": str(pem), "org": "hostpulse", "bucket": "first"}
        assert controller.run("setup", **given)["changed"]
        assert not controller.run("setup", **given)["changed"]
        said = controller.run("setup", **{**given, "url": server.url})
        assert "not as InfluxDB 2 does; check url (http or https, port)" in said["msg"]


class Secure(Influxd):
    """An influxd that is ready when it accepts connections, since it speaks TLS."""

    def ready(self) -> None:
        """Raise OSError while nothing listens."""
        socket.create_connection(("127.0.0.1", self.port), timeout=60).close()


def test_a_token_that_does_not_fit_is_told(told: Any, controller: Any, estate: Any) -> None:
    """Unknown, with too few rights, more than a token, or not there: with its file's name."""
    url, path = estate.url, controller.token_file
    path.write_text("of-another-server")
    assert f"does not know the token in {path}; put the server's operator token" in told(url)
    estate.token_file.write_text(estate.influxd.operator_token)
    estate.run("bucket", name="b")
    token = estate.run("authorization", name="few", read=["b"])["token"]
    path.write_text(token)
    said = told(url)
    assert f"the token in {path} has too few rights" in said
    assert token not in said
    path.write_text("two words")
    assert f"{path} holds no token" in told(url)
    path.write_text("two\nlines")
    assert f"{path} does not hold one line" in told(url)
    path.write_bytes(b"\xff\xfe")
    assert f"{path} holds no text" in told(url)
    path.unlink()
    assert f"{path} is not there; it holds the operator token; run influxdb_setup" in told(url)


@pytest.mark.parametrize("url", ["localhost:8086", "ftp://localhost", "http://u:pw@localhost", ""])
def test_an_address_that_is_none_is_told(told: Any, url: str) -> None:
    """And no password in it is repeated."""
    said = told(url)
    assert "is not http://HOST:PORT" in said
    assert "pw@" not in said
