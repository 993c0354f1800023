"""The private authority that the proxy role makes satisfies the strictest verifier there is."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from tests.policy.repository import ROOT, load
from tests.templates.render import render

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("hostpulse.example.org", "web-01", "localhost")
ADDRESSES = ("192.0.2.10", "127.0.0.1", "2001:db8::7")
HOST_STATE = ROOT / "roles" / "hostpulse_release" / "files" / "host_state.sh"
TASKS = load(ROOT / "roles" / "hostpulse_proxy" / "tasks" / "private_ca.yml")


def script(name: str) -> list[str]:
    """Return the command of one of the role's tasks, up to its script."""
    (task,) = (task for task in TASKS if task["name"] == f"private_ca | {name}")
    return [str(part) for part in task["ansible.builtin.command"]["argv"][:3]]


@pytest.fixture
def leaf(tmp_path: Path) -> Path:
    """Make an authority and a leaf with the role's own requests and commands."""
    given = {
        "hostpulse_proxy_public_name": NAMES[0],
        "hostpulse_proxy_extra_names": ["2001:DB8::7", "localhost"],
    }
    for name in ("ca", "leaf"):
        (tmp_path / f"{name}.cnf").write_text(render("hostpulse_proxy", f"{name}.cnf.j2", **given))
    path = tmp_path / "leaf.pem"
    for command in (
        script("Create the private CA"),
        [*script("Issue the certificate"), "make-leaf", str(path), "365"],
        [*script("Check that the certificate is valid, ours and not about to expire"),
         "check-leaf", str(path), str(30 * 86400)],
    ):  # fmt: skip
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return path


@pytest.mark.integration
@pytest.mark.parametrize("name", [*NAMES, *ADDRESSES])
def test_a_strict_verifier_takes_the_certificate_for_each_name(leaf: Path, name: str) -> None:
    """A handshake succeeds under the rules that Python 3.13 has by default."""
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(leaf)
    theirs = ssl.create_default_context(cafile=str(leaf.with_name("ca.pem")))
    theirs.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    near, far = socket.socketpair()

    def serve() -> None:
        with far, ours.wrap_socket(far, server_side=True) as connection:
            connection.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with near, theirs.wrap_socket(near, server_hostname=name) as connection:
        assert connection.recv(5) == b"hello"
    thread.join()


@pytest.mark.integration
@pytest.mark.parametrize(("days_left_wanted", "good"), [(364, True), (366, False)])
def test_a_certificate_is_renewed_before_it_ends(
    leaf: Path,
    days_left_wanted: int,
    good: bool,  # noqa: FBT001 -- a case
) -> None:
    """A year's leaf is good where 364 days are wanted, and made anew where 366 are."""
    thing = f"{leaf}:{leaf.with_name('ca.pem')}:{days_left_wanted * 86400}"
    asked = subprocess.run(
        ["sh", "-c", HOST_STATE.read_text(), "host_state", f"leaf:{thing}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert asked.stdout == (f"leaf {thing}\n" if good else "")
    look = script("Check that the certificate is valid, ours and not about to expire")
    done = subprocess.run(
        [*look, "check-leaf", str(leaf), str(days_left_wanted * 86400)],
        cwd=leaf.parent, check=False, capture_output=True,
    )  # fmt: skip
    assert (done.returncode == 0) is good


@pytest.mark.integration
def test_a_leaf_of_another_authority_is_made_anew(leaf: Path) -> None:
    """Where the authority was made anew, no agent would trust its old leaf."""
    ca = leaf.with_name("ca.pem")
    ca.unlink()
    subprocess.run(
        script("Create the private CA"), cwd=leaf.parent, check=True, capture_output=True
    )
    asked = subprocess.run(
        ["sh", "-c", HOST_STATE.read_text(), "host_state", f"leaf:{leaf}:{ca}:0"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert asked.stdout == ""


def test_an_operators_own_certificate_takes_the_place_of_ours() -> None:
    """The site names the operator's certificate and key, and no leaf of the private authority."""
    text = render("hostpulse_proxy", "hostpulse.conf.j2", hostpulse_proxy_certificate="site.pem")
    assert "ssl_certificate /etc/hostpulse/tls/own.pem;" in text
    assert "ssl_certificate_key /etc/hostpulse/tls/own.key;" in text
    assert "leaf-" not in text


@pytest.mark.integration
def test_keys_are_for_root_alone(leaf: Path) -> None:
    """The authority's key and the leaf with its key are unreadable for everybody else."""
    for path in (leaf, leaf.with_name("ca.key")):
        assert path.stat().st_mode & 0o077 == 0
    assert leaf.with_name("ca.pem").stat().st_mode & 0o777 == 0o644


def test_a_long_name_still_gives_a_certificate() -> None:
    """A common name holds 64 characters; the whole name is among the alternative names."""
    name = "monitor." + "very-long-department-name." * 4 + "example.org"
    text = render("hostpulse_proxy", "leaf.cnf.j2", hostpulse_proxy_public_name=name)
    common = re.search(r"^CN = (.*)$", text, re.MULTILINE)
    assert common
    assert len(common.group(1)) == 64
    assert f"= {name}\n" in text


@pytest.mark.parametrize("tls", [True, False])
def test_the_proxy_passes_on_one_address_and_no_claims(tls: bool) -> None:  # noqa: FBT001 -- a case
    """What the client says about its address is replaced, in step with trusted_proxies = 1."""
    text = render("hostpulse_proxy", "hostpulse.conf.j2", hostpulse_proxy_tls=tls)
    assert text.count("{") == text.count("}")
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text
    assert (" ssl;" in text) is tls
    assert ("ssl_certificate_key " in text) is tls
    statements = [line.strip() for line in text.splitlines() if line.strip()]
    assert all(line[-1] in ";{}" or line.startswith("#") for line in statements)
