"""``testbed/get`` takes the vendor's archive of Grafana, and builds none where it has no recipe."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from tests.servers.grafana_api.archive import pack
from tests.testbed.vendor import CLOSED, Vendor, engines, packed, sha256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/1.2.3/grafana_1.2.3_77_linux.tar.gz"
ARCHIVE = packed(README="read me", VERSION="1.2.3\n")
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Give a site that has nothing yet."""
    with Vendor() as site:
        yield site


def get(made: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run that copy with a cache beside it."""
    environment = {"XDG_CACHE_HOME": str(made.parent / "cache"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [made / "get", *arguments],
        env={**environment, "HOSTPULSE_GRAFANA_ARCHIVE": given},
        capture_output=True,
        text=True,
        check=False,
    )


def failed(made: Path) -> Path:
    """Return the file that a failed attempt leaves."""
    (found,) = (made.parent / "cache").rglob("failed")
    return found


def test_where_none_is_had_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    """Nothing is built."""
    got = get(engines(tmp_path, CLOSED), "grafana")
    assert got.returncode == 1
    assert got.stdout == ""
    (line,) = got.stderr.splitlines()
    assert line.startswith("engines: there is no archive of grafana 1.2.3 here, since http")
    assert "Connection refused" in line
    assert line.endswith(
        "download it from https://downloads.example.org where that is reached, and name the file"
        " in HOSTPULSE_GRAFANA_ARCHIVE"
    )


def test_whether_one_is_had_can_be_asked_without_a_word(tmp_path: Path, vendor: Vendor) -> None:
    """None is no error; a file that is named and is not there is one."""
    made = engines(tmp_path, vendor.url, {MACHINE: sha256(ARCHIVE)})
    got = get(made, "--optional", "grafana")
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    got = get(made, "--optional", "grafana", given="/nowhere.tar.gz")
    assert got.returncode == 1
    assert "HOSTPULSE_GRAFANA_ARCHIVE names /nowhere.tar.gz, which is no file" in got.stderr
    vendor.files[PATH] = ARCHIVE
    failed(made).unlink()
    got = get(made, "--optional", "grafana")
    assert got.stdout.endswith("/grafana_1.2.3_77_linux.tar.gz\n")
    assert got.stderr == ""


def test_a_failed_attempt_is_remembered_for_some_minutes(tmp_path: Path, vendor: Vendor) -> None:
    """The workers of one run do not each wait for a site that does not answer."""
    made = engines(tmp_path, vendor.url, {MACHINE: sha256(ARCHIVE)})
    first, second = (get(made, "grafana") for _ in range(2))
    assert vendor.asked == [PATH]
    assert "HTTP Error 404" in first.stderr
    assert second.stderr == first.stderr
    vendor.files[PATH] = ARCHIVE
    long_ago = time.time() - 3600
    os.utime(failed(made), (long_ago, long_ago))
    assert get(made, "grafana").returncode == 0


def test_an_archive_of_the_cache_is_not_asked_for_again(tmp_path: Path, vendor: Vendor) -> None:
    """Once it is there the site is not needed."""
    vendor.files[PATH] = ARCHIVE
    made = engines(tmp_path, vendor.url, {MACHINE: sha256(ARCHIVE)})
    first, second = (get(made, "grafana") for _ in range(2))
    assert first.stdout == second.stdout != ""
    assert vendor.asked == [PATH]


def test_a_sum_that_is_pinned_is_compared(tmp_path: Path, vendor: Vendor) -> None:
    """Another one that the vendor publishes does not count."""
    vendor.files |= {PATH: ARCHIVE, f"{PATH}.sha256": sha256(ARCHIVE).encode()}
    got = get(engines(tmp_path, vendor.url, {MACHINE: "0" * 64}), "--optional", "grafana")
    assert got.returncode == 1
    assert got.stdout == ""
    assert f"has the sum {sha256(ARCHIVE)}, but its engine.toml has {'0' * 64}" in got.stderr
    assert vendor.asked == [PATH]


# With ids of their own: the sum of an archive that is packed anew differs between test workers.
@pytest.mark.parametrize(
    ("published", "status"), [(sha256(ARCHIVE), 0), ("0" * 64, 1)], ids=["its own", "another's"]
)
def test_without_a_pinned_sum_the_published_one_is_compared(
    tmp_path: Path, vendor: Vendor, published: str, status: int
) -> None:
    """As for machines that nobody pinned one for."""
    vendor.files |= {PATH: ARCHIVE, f"{PATH}.sha256": f"{published}  file\n".encode()}
    got = get(engines(tmp_path, vendor.url, {"another-machine": "0" * 64}), "grafana")
    assert got.returncode == status
    assert vendor.asked == [f"{PATH}.sha256", PATH]


def test_an_archive_is_described_by_path_version_and_sum(tmp_path: Path) -> None:
    """The version is what the archive says, whatever the file is called."""
    given = tmp_path / "grafana-9.linux.tar.gz"
    given.write_bytes(packed(README="read me", VERSION="11.0.1"))
    made = engines(tmp_path, CLOSED)
    got = get(made, "--describe", "grafana", given=str(given))
    assert got.stdout.splitlines() == [str(given), "11.0.1", sha256(given.read_bytes())]
    given.write_bytes(packed(README="read me"))
    got = get(made, "--describe", "grafana", given=str(given))
    assert got.returncode == 1
    assert "has no file VERSION in its top folder" in got.stderr


OTHERS = {
    "empty": b"",
    "text": b"not found\n",
    "cut off": ARCHIVE[:40],
    "influxdb": packed({"usr/bin/influxd": "\x7fELF"}),
    "a script in its place": packed({"bin/grafana": "#!/bin/sh\n"}),
    "a folder in its place": packed({"bin/grafana/x": "\x7fELF"}),
}


@pytest.mark.parametrize("way", ["--optional", "--describe", "--unpacked", ""])
@pytest.mark.parametrize("what", OTHERS)
def test_a_file_that_is_named_and_is_none_is_refused_in_one_sentence(
    tmp_path: Path, what: str, way: str
) -> None:
    """Whatever is asked of it, and nothing of it is kept."""
    given = tmp_path / "file"
    given.write_bytes(OTHERS[what])
    ways = [way] if way else []
    got = get(engines(tmp_path, CLOSED), *ways, "grafana", given=str(given))
    said = f"engines: HOSTPULSE_GRAFANA_ARCHIVE names {given}, which is no archive of grafana\n"
    assert (got.returncode, got.stdout, got.stderr) == (1, "", said)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("way", ["--optional", "--describe", "--unpacked"])
def test_the_stand_ins_own_archive_is_never_taken_for_a_grafana(tmp_path: Path, way: str) -> None:
    """Or every test with the marker would pass without one."""
    given = tmp_path / "grafana-10.0.0.tar.gz"
    pack(given, "10.0.0")
    got = get(engines(tmp_path, CLOSED), way, "grafana", given=str(given))
    assert (got.returncode, got.stdout) == (1, "")
    (line,) = got.stderr.splitlines()
    assert line.endswith(
        f"names {given}, which is the stand-in that tests use, and no archive of grafana"
    )
