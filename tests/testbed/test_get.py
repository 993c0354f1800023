"""``testbed/get`` takes the archive that the caller names, and unpacks any beside any other."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

GET = Path(__file__).parents[2] / "testbed" / "get"


def pack(path: Path, top: str, content: str) -> Path:
    """Make an archive with a version and a program in one folder."""
    with tarfile.open(path, "w:gz") as packed:
        for name, text in (("VERSION", content), ("bin/grafana", "\x7fELF")):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    return path


def get(
    cache: Path, *arguments: str, grafana: Path, influxdb: Path
) -> subprocess.CompletedProcess[str]:
    """Run it with a cache of its own and two archives named."""
    environment = {
        "XDG_CACHE_HOME": str(cache),
        "HOSTPULSE_GRAFANA_ARCHIVE": str(grafana),
        "HOSTPULSE_INFLUXDB_ARCHIVE": str(influxdb),
        "PATH": "/usr/bin:/bin",
    }
    return subprocess.run(
        [GET, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_archive_of_each_name_is_a_line(tmp_path: Path) -> None:
    """In the order asked for, and a named file is taken where it lies."""
    grafana = pack(tmp_path / "g.tar.gz", "grafana-1", "1")
    influxdb = pack(tmp_path / "i.tar.gz", "influxdb-1", "1")
    got = get(tmp_path, "influxdb", "grafana", grafana=grafana, influxdb=influxdb)
    assert got.stdout.splitlines() == [str(influxdb), str(grafana)]
    assert got.returncode == 0


def test_what_cannot_be_had_does_not_keep_back_the_others(tmp_path: Path) -> None:
    """The message says what was wrong, the exit code that something was."""
    influxdb = pack(tmp_path / "i.tar.gz", "influxdb-1", "1")
    missing = tmp_path / "none.tar.gz"
    got = get(tmp_path, "grafana", "influxdb", grafana=missing, influxdb=influxdb)
    assert got.stdout.splitlines() == [str(influxdb)]
    assert got.returncode == 1
    assert f"HOSTPULSE_GRAFANA_ARCHIVE names {missing}, which is no file" in got.stderr


def test_archives_in_one_folder_are_unpacked_apart(tmp_path: Path) -> None:
    """Also when a file of the same name has got other content since."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    found = []
    for name, content in (("grafana", "old"), ("influxdb", "1"), ("grafana", "new")):
        pack(shelf / f"{name}.tar.gz", "same-top", content)
        got = get(
            tmp_path / "cache",
            "--unpacked",
            name,
            grafana=shelf / "grafana.tar.gz",
            influxdb=shelf / "influxdb.tar.gz",
        )
        found.append((Path(got.stdout.strip()) / "VERSION").read_text())
    assert found == ["old", "1", "new"]
    assert sorted(path.name for path in shelf.iterdir()) == [
        "grafana.tar.gz",
        "influxdb.tar.gz",
    ]


def test_no_name_or_an_unknown_one_shows_the_usage(tmp_path: Path) -> None:
    """Nothing is fetched for it."""
    for arguments in ((), ("--unpacked",), ("loki",), ("influxdb", "loki")):
        got = get(tmp_path, *arguments, grafana=tmp_path, influxdb=tmp_path)
        assert "usage: get NAME" in got.stderr, arguments
        assert got.returncode == 1
