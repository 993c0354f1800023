"""The end of validity, read from certificates that openssl made."""

from __future__ import annotations

import base64
import ssl
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.errors import CertificateError
from hostpulse_server.self_metrics import certificates

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

CONFIG = """
[ca]
default_ca = it
[it]
dir = .
database = ./index.txt
new_certs_dir = .
serial = ./serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = monitor.example.org
"""


class Authority:
    """Makes self-signed certificates with a chosen end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "index.txt").write_text("")
        (folder / "serial").write_text("01")
        (folder / "openssl.cnf").write_text(CONFIG)
        self._openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem")

    def _openssl(self, line: str) -> None:
        command = ["openssl", *line.split(), "-config", "openssl.cnf"]
        if command[1] == "req":
            command += ["-out", "request.pem"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def certificate(self, end: str, name: str = "made.pem") -> Path:
        """Make one that ends at ``end``, written as openssl wants it."""
        self._openssl(
            f"ca -batch -selfsign -keyfile key.pem -in request.pem -out {name} "
            f"-startdate 20200101000000Z -enddate {end}"
        )
        return self.folder / name


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority with a key."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("20271231235958Z", datetime(2027, 12, 31, 23, 59, 58, tzinfo=UTC)),  # a UTCTime
        ("20491231235959Z", datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),  # the last UTCTime
        ("20500101000000Z", datetime(2050, 1, 1, tzinfo=UTC)),  # a GeneralizedTime
        ("99991231235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),  # "never"
        ("20200301000000Z", datetime(2020, 3, 1, tzinfo=UTC)),  # over
    ],
)
def test_the_end_is_read_in_both_forms_of_time(
    authority: Authority, end: str, expected: datetime
) -> None:
    """UTCTime until 2049, GeneralizedTime from 2050 on."""
    path = authority.certificate(end)
    assert b"BEGIN CERTIFICATE" in path.read_bytes()
    assert certificates.not_after(path) == expected


def test_of_a_chain_the_first_counts_and_text_or_a_key_before_it_do_not(
    authority: Authority, tmp_path: Path
) -> None:
    """As servers read it: their own certificate first."""
    first = authority.certificate("20270101000000Z").read_text()
    second = authority.certificate("20280101000000Z").read_text()
    chain = tmp_path / "chain.pem"
    chain.write_text((authority.folder / "key.pem").read_text() + first + second)
    assert certificates.not_after(chain).year == 2027


def test_years_of_the_20th_century_are_of_the_20th_century() -> None:
    """RFC 5280: from 50 on."""
    assert certificates._time(0x17, "500101000000Z").year == 1950
    assert certificates._time(0x17, "491231235959Z").year == 2049


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----", "cut off"),
        (b"-----BEGIN CERTIFICATE-----\nAgEB\n-----END CERTIFICATE-----", "tag 0x2"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes, why: str) -> None:
    """One kind of error for all of them."""
    path = tmp_path / "bad.pem"
    path.write_bytes(content)
    with pytest.raises(CertificateError, match=rf"bad\.pem .*{why}"):
        certificates.not_after(path)
    with pytest.raises(CertificateError, match="cannot be read: No such file"):
        certificates.not_after(tmp_path / "absent.pem")


def test_a_certificate_cut_or_changed_anywhere_is_an_error_or_a_time(
    authority: Authority, tmp_path: Path
) -> None:
    """No damage gets past CertificateError."""
    der = ssl.PEM_cert_to_DER_cert(
        "-----BEGIN CERTIFICATE-----"
        + authority.certificate("20270101000000Z")
        .read_text()
        .split("-----BEGIN CERTIFICATE-----")[1]
    )
    path = tmp_path / "damaged.pem"

    @given(cut=st.integers(0, len(der)), at=st.integers(0, len(der) - 1), byte=st.integers(0, 255))
    def damage(cut: int, at: int, byte: int) -> None:
        changed = bytearray(der)
        changed[at] = byte
        body = base64.b64encode(changed[:cut])
        path.write_bytes(b"-----BEGIN CERTIFICATE-----" + body + b"-----END CERTIFICATE-----")
        try:
            assert certificates.not_after(path).tzinfo is UTC
        except CertificateError:
            return

    damage()


def test_a_certificate_is_called_by_its_file_with_as_much_folder_as_needed() -> None:
    """Short where that is enough, and never two of one name."""
    assert certificates.names(
        [
            "/etc/ssl/monitor.pem",
            "/live/a.org/fullchain.pem",
            "/live/b.org/fullchain.pem",
            "/x/tls/own.pem",
            "/y/tls/own.pem",
            "/etc/ssl/monitor.pem",
        ]
    ) == {
        "/etc/ssl/monitor.pem": "monitor",
        "/live/a.org/fullchain.pem": "a.org/fullchain",
        "/live/b.org/fullchain.pem": "b.org/fullchain",
        "/x/tls/own.pem": "/x/tls/own.pem",
        "/y/tls/own.pem": "/y/tls/own.pem",
    }
