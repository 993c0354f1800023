"""InfluxDB over https: trusted by the authority that ``ca_file`` names, and by no other."""

from __future__ import annotations

import dataclasses
import http.client
import ssl
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.store.conftest import settings_of
from testbed.influxdb.local import Influxd

from hostpulse_server.errors import StoreMisconfiguredError, StoreUnavailableError
from hostpulse_server.store.base import Query
from hostpulse_server.store.influxdb import InfluxdbStore
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration

T0 = 1_795_387_200_000
CPU = Query(None, "cpu", (), (), T0, T0 + 1, 1000, "last")


class Secure(Influxd):
    """An influxd that speaks TLS by the certificate beside its data."""

    @property
    def url(self) -> str:
        """Where it listens, by the name in its certificate."""
        return f"https://localhost:{self.port}"

    def _request(self, method: str, path: str, body: bytes | None, kind: str) -> bytes:
        trust = ssl.create_default_context(cafile=self.directory / "server.pem")
        headers = {"Authorization": f"Token {self.operator_token}", "Content-Type": kind}
        connection: Any = http.client.HTTPSConnection("localhost", self.port, context=trust)
        with closing(connection):
            connection.request(method, path, body, headers)
            answer: bytes = connection.getresponse().read()
        return answer


def self_signed(directory: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for localhost and its key with openssl; return both files."""
    pem, key = directory / f"{name}.pem", directory / f"{name}.key"
    options = f"-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        ["openssl", "req", *options.split(), *names, "-keyout", key, "-out", pem],
        check=True,
        capture_output=True,
    )
    return pem, key


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Give a running influxd that only speaks TLS."""
    directory = tmp_path_factory.mktemp("secure")
    pem, key = self_signed(directory, "server")
    with Secure.start(directory, [f"--tls-cert={pem}", f"--tls-key={key}"]) as server:
        yield server


def test_values_go_in_and_out_over_https(secure: Secure) -> None:
    """The authority in ``ca_file`` is trusted."""
    settings = dataclasses.replace(
        settings_of(secure), ca_file=str(secure.directory / "server.pem")
    )
    with closing(InfluxdbStore(settings)) as store:
        store.write([StorePoint("a", "cpu", (), T0, {"v": 1.0})])
        assert [list(one.points) for one in store.query(CPU)] == [[(T0, 1.0)]]


@pytest.mark.parametrize("authority", ["other", "", "missing", "host"])
def test_without_the_right_authority_the_setting_to_correct_is_named(
    secure: Secure, tmp_path: Path, authority: str
) -> None:
    """Another's, none, a file that is not there, another name in the certificate."""
    right = str(secure.directory / "server.pem")
    files = {"other": "", "": "", "missing": str(tmp_path / "missing.pem"), "host": right}
    if authority == "other":
        files["other"] = str(self_signed(tmp_path, "other")[0])
    settings = dataclasses.replace(settings_of(secure), ca_file=files[authority])
    if authority == "host":
        settings = dataclasses.replace(settings, url=f"https://127.0.0.1:{secure.port}")
    with closing(InfluxdbStore(settings)) as store:
        for use in (
            lambda: store.write([StorePoint("a", "cpu", (), T0, {"v": 1.0})]),
            lambda: store.query(CPU),
        ):
            with pytest.raises(StoreMisconfiguredError, match=r"store\.influxdb\.ca_file"):
                use()


def test_http_to_a_server_that_speaks_tls_names_the_url(secure: Secure) -> None:
    """The scheme is what is wrong, not a point; influxd may hang up before its answer is read."""
    settings = dataclasses.replace(settings_of(secure), url=f"http://localhost:{secure.port}")
    with (
        closing(InfluxdbStore(settings)) as store,
        pytest.raises(StoreUnavailableError, match=r"store\.influxdb\.url"),
    ):
        store.write([StorePoint("a", "cpu", (), T0, {"v": 1.0})])
