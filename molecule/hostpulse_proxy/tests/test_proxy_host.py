"""What the world sees of a server: nginx with TLS by the private authority."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testinfra.host import Host

PORT = 8443
CA_DIR = "/etc/hostpulse/ca"


@pytest.fixture(scope="module")
def monitor(host_of: Callable[[str], Host]) -> Host:
    """Return the scenario's only host."""
    return host_of("monitor")


@pytest.fixture(scope="module")
def address(monitor: Host) -> str:
    """Return the host's address on the scenario's network."""
    return str(monitor.check_output("hostname -I")).split()[0]


@pytest.fixture
def strict(monitor: Host, tmp_path: Path) -> ssl.SSLContext:
    """Return a context that trusts the private authority alone, as strict as Python 3.13's."""
    authority = tmp_path / "ca.pem"
    authority.write_text(monitor.file(f"{CA_DIR}/ca.pem").content_string)
    context = ssl.create_default_context(cafile=str(authority))
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


@pytest.fixture
def plain(address: str) -> Iterator[socket.socket]:
    """Yield a connection to the public port, nothing said on it yet."""
    with socket.create_connection((address, PORT), 10) as connection:
        yield connection


@pytest.mark.parametrize("name", ["pulse.example.org", "monitor", "localhost", "127.0.0.1"])
def test_the_certificate_is_good_for_every_name_of_the_server(
    plain: socket.socket, strict: ssl.SSLContext, name: str
) -> None:
    """Public name, inventory name and the local ones; verified as strictly as Python can."""
    with strict.wrap_socket(plain, server_hostname=name) as secured:
        assert secured.version() == "TLSv1.3"


def test_the_certificate_is_good_for_the_address(
    plain: socket.socket, strict: ssl.SSLContext, address: str
) -> None:
    """An estate without DNS names its server by address."""
    with strict.wrap_socket(plain, server_hostname=address) as secured:
        assert secured.getpeercert()


def test_another_name_is_refused(plain: socket.socket, strict: ssl.SSLContext) -> None:
    """The check of names is on at all."""
    with (
        pytest.raises(ssl.SSLCertVerificationError),
        strict.wrap_socket(plain, server_hostname="elsewhere.example.org"),
    ):
        pass


def test_old_protocols_are_refused(plain: socket.socket, strict: ssl.SSLContext) -> None:
    """TLS 1.1 and older are broken."""
    # Our own side must be willing, or this would say nothing about the server.
    strict.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):  # noqa: PT031 - both setters warn
        strict.minimum_version = ssl.TLSVersion.TLSv1
        strict.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError), strict.wrap_socket(plain, server_hostname="monitor"):  # noqa: PT011 - reset or alert
        pass


def test_requests_reach_what_is_behind(address: str, strict: ssl.SSLContext) -> None:
    """The path, and the answer, go through as they are."""
    connection = http.client.HTTPSConnection(address, PORT, timeout=10, context=strict)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"behind the proxy\n")
    finally:
        connection.close()


def test_the_authoritys_key_is_for_root_only(monitor: Host) -> None:
    """Whoever has it can pose as the server to every agent."""
    assert monitor.file(CA_DIR).mode == 0o700
    key = monitor.file(f"{CA_DIR}/ca.key")
    assert (key.user, key.mode) == ("root", 0o600)


def test_private_keys_are_readable_by_root_alone(monitor: Host) -> None:
    """Only nginx needs them, and reads them before it gives its rights away."""
    found = monitor.check_output("find /etc/hostpulse/tls -type f -perm /077")
    assert found == ""


def test_everybody_may_see_the_certificates_without_their_keys(monitor: Host) -> None:
    """The server measures how long they last, as a user that may not read the keys beside them."""
    for name, source in (("server", "/etc/hostpulse/tls/leaf-*.pem"), ("ca", f"{CA_DIR}/ca.pem")):
        shown = f"/etc/hostpulse/certificates/{name}.pem"
        assert monitor.file(shown).mode == 0o644
        assert "PRIVATE KEY" not in monitor.file(shown).content_string
        command = "openssl x509 -noout -serial -in"
        serial = str(monitor.check_output(f"{command} {shown}"))
        assert serial == str(monitor.check_output(f"{command} {source}"))


def test_nothing_else_is_open(monitor: Host) -> None:
    """The welcome page of the package is gone, and port 80 with it."""
    open_ports = monitor.check_output("ss -Hltn '! src 127.0.0.0/8'").splitlines()
    assert {line.split()[3].rpartition(":")[2] for line in open_ports} == {str(PORT)}


def test_nginx_starts_with_the_host(monitor: Host) -> None:
    """After a reboot agents deliver again without a person."""
    assert monitor.service("nginx").is_running
    assert monitor.service("nginx").is_enabled
