"""Backups of a real InfluxDB: stopped for a moment, intact afterwards; restore tests that fail."""

from __future__ import annotations

import csv
import io
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from backup.tests.hosts import RAW, ROLLUP, SNAPSHOT_AT_ONCE, BackupHost, fill, with_influxdb
from testbed.influxdb.local import Influxd

from hostpulse_backup import files, manifest
from hostpulse_backup.errors import BackupError, DamagedError
from hostpulse_backup.influxdb import Client, flux_string
from hostpulse_backup.manifest import Entry
from hostpulse_backup.restore_test import run_restore_test

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hostpulse_backup.manifest import Manifest

pytestmark = pytest.mark.integration

VALUES = 3 * 400


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackupHost]:
    """Give a host with a filled influxd that these tests stop and start."""
    made = with_influxdb(tmp_path_factory.mktemp("influxdb-host"))
    assert made.influxd is not None
    with made.influxd:
        yield made


def rewrite(folder: Path, made: Manifest) -> None:
    """Write a manifest again that was made to fit what a test did to the files."""
    (folder / manifest.NAME).unlink()
    manifest.write(folder, made)


def test_influxd_is_stopped_for_a_moment_and_serves_on(host: BackupHost) -> None:
    """The pause does not grow with the data: immutable files are linked, not copied."""
    made = host.create(raw=True)
    assert made.failed == {}
    assert made.kinds["influxdb"]["stopped_ms"] < 10_000
    assert host.influxd is not None
    assert "400" in host.influxd.query(
        f'from(bucket: "{RAW}") |> range(start: 0) '
        '|> filter(fn: (r) => r.server_id == "web-1") |> count()'
    )


def test_the_manifest_holds_counts_and_values_of_the_moment(host: BackupHost) -> None:
    """Counted before and after the pause, with the token that can only read our buckets."""
    buckets = host.create(raw=True).kinds["influxdb"]["buckets"]
    assert buckets[ROLLUP]["counts"] == [VALUES, VALUES]
    assert buckets[RAW]["counts"] == [VALUES, VALUES]
    assert {one["tags"]["server_id"] for one in buckets[RAW]["samples"]} >= {"web-0", "web-2"}
    assert len(buckets[ROLLUP]["samples"]) >= 4


@pytest.mark.parametrize("raw", [True, False])
def test_a_restore_test_of_a_good_backup_passes_and_leaves_nothing(
    host: BackupHost, *, raw: bool
) -> None:
    """Another influxd answers from the copied files as the manifest says, then it is gone."""
    made = host.create(raw=raw)
    run_restore_test(host.settings(), host.folder(made), host.output.append)
    assert "compared the counts and" in host.output[-1]
    assert host.influxd is not None
    assert [one.name for one in host.influxd.directory.glob(".hostpulse-*")] == []


def test_a_restore_test_notices_a_missing_shard(host: BackupHost) -> None:
    """A backup whose files all have their checksum can still lack some: the counts show it."""
    made = host.create()
    folder = host.folder(made)
    assert host.influxd is not None
    shard = next((folder / "influxdb" / "engine" / "data").glob("*/autogen/*/*.tsm")).parent
    lost = str(shard.relative_to(folder))
    shutil.rmtree(shard)
    made.files = {name: one for name, one in made.files.items() if not name.startswith(lost)}
    rewrite(folder, made)
    with pytest.raises(DamagedError, match=rf"{ROLLUP} has \d+ values, it had \[1200, 1200\]"):
        run_restore_test(host.settings(), folder, host.output.append)


def test_a_restore_test_notices_a_different_value(host: BackupHost) -> None:
    """Counts alone would not see it."""
    made = host.create()
    folder = host.folder(made)
    made.kinds["influxdb"]["buckets"][ROLLUP]["samples"][0]["value"] += 1
    rewrite(folder, made)
    with pytest.raises(DamagedError, match=r"hostpulse_rollup: cpu\.usage_percent_mean"):
        run_restore_test(host.settings(), folder, host.output.append)


def test_a_restore_test_notices_files_that_influxd_cannot_open(host: BackupHost) -> None:
    """A database of users and buckets with the right checksum that is none."""
    made = host.create()
    folder = host.folder(made)
    bolt = folder / "influxdb" / "influxd.bolt"
    bolt.write_bytes(b"not a database" * 1000)
    made.files["influxdb/influxd.bolt"] = Entry(bolt.stat().st_size, files.sha256(bolt))
    rewrite(folder, made)
    with pytest.raises(BackupError, match="InfluxDB did not get ready"):
        run_restore_test(host.settings(), folder, host.output.append)


def test_an_unchanged_file_is_kept_once(host: BackupHost) -> None:
    """Sorted data is written once: the next backup links to the copy there is, if it is whole."""
    first = host.create(raw=True)
    name = next(name for name in first.files if name.endswith(".tsm"))
    inode = (host.folder(first) / name).stat().st_ino
    second = host.create(raw=True)
    linked = host.folder(second) / name
    assert linked.stat().st_ino == inode
    linked.write_bytes(b"damaged")
    third = host.create(raw=True)
    copied = host.folder(third) / name
    assert copied.stat().st_ino != inode
    assert files.sha256(copied) == third.files[name].sha256


def test_holes_stay_holes(host: BackupHost) -> None:
    """Series files are four megabytes each of almost nothing."""
    made = host.create()
    series = [name for name in made.files if "/_series/" in name]
    assert sum(made.files[name].bytes for name in series) > 10 * 2**20
    assert sum(files.allocated(host.folder(made) / name) for name in series) < 2 * 2**20


def test_without_raw_samples_rollups_are_served_and_new_samples_taken(
    host: BackupHost, tmp_path: Path
) -> None:
    """The engine makes the folders anew that it does not find."""
    made = host.create(raw=False)
    assert host.influxd is not None
    raw_id = next(
        one["id"]
        for one in host.influxd.call("GET", "/api/v2/buckets?limit=100")["buckets"]
        if one["name"] == RAW
    )
    assert not [name for name in made.files if raw_id in name]
    with RestoredInfluxd(host.folder(made), tmp_path, host.influxd) as other:
        client = Client(other.url, "hostpulse", other.operator_token)
        assert client.count(ROLLUP, "2100-01-01T00:00:00Z") == VALUES
        assert client.count(RAW, "2100-01-01T00:00:00Z") == 0
        fill(other, RAW, "usage_percent", hosts=2, points=50, step_ms=10_000)
        assert client.count(RAW, "2100-01-01T00:00:00Z") == 100
        other.stop()
        other.resume()
        assert client.count(RAW, "2100-01-01T00:00:00Z") == 100


def test_scoped_tokens_come_back_with_the_files(host: BackupHost, tmp_path: Path) -> None:
    """Nobody needs new tokens after a restore, although they cannot be read out of InfluxDB."""
    made = host.create(raw=True)
    assert host.influxd is not None
    with RestoredInfluxd(host.folder(made), tmp_path, host.influxd) as other:
        token = host.folder(made) / "configuration" / "influxdb" / "backup.token"
        client = Client.with_token_file(other.url, "hostpulse", token)
        assert client.count(RAW, "2100-01-01T00:00:00Z") == VALUES


def test_influxd_runs_again_when_the_copy_fails(
    host: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up in the wrong moment costs the backup, not the store."""
    assert host.influxd is not None
    (host.influxd.directory / "engine" / "stray").mkdir()
    strange = host.influxd.directory / "engine" / "stray" / "unreadable"
    strange.write_text("x")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hostpulse_backup.snapshot.files.copy", full)
    with pytest.raises(BackupError, match="No space left"):
        host.create()
    assert host.influxd.query("buckets()")
    assert not (host.influxd.directory / ".hostpulse-backup").exists()
    assert [one.name for one in host.archive.directory.glob(".new-*")] == []
    shutil.rmtree(strange.parent)


def test_an_influxd_that_is_down_does_not_cost_the_rest(host: BackupHost) -> None:
    """Keys and databases are backed up all the same, and the backup says what it lacks."""
    assert host.influxd is not None
    host.influxd.stop()
    try:
        made = host.create()
    finally:
        host.influxd.resume()
    assert list(made.failed) == ["influxdb"]
    assert "does not answer" in made.failed["influxdb"]
    assert "configuration/ca/ca.key" in made.files
    good = host.archive.newest_good()
    assert good is None or good.name != made.name


@pytest.mark.parametrize("text", ['quo"te', "back\\slash", "${interpolated}", "tab\tü", "plain"])
def test_flux_strings_hold_what_they_are_given(host: BackupHost, text: str) -> None:
    """A tag value with quotes or expressions in it is compared, not run."""
    assert host.influxd is not None
    answer = host.influxd.query(
        f'import "array" import "json" array.from(rows: '
        f"[{{_value: string(v: json.encode(v: {flux_string(text)}))}}])"
    )
    header, row = list(csv.reader(io.StringIO(answer)))[:2]
    assert json.loads(row[header.index("_value")]) == text


class RestoredInfluxd:
    """An influxd on a copy of a backup's files, with the operator token of where it is from."""

    def __init__(self, folder: Path, place: Path, like: Influxd) -> None:
        shutil.copytree(folder / "influxdb", place / "revived")
        self._influxd = Influxd(place / "revived", SNAPSHOT_AT_ONCE)
        self._influxd.operator_token = like.operator_token

    def __enter__(self) -> Influxd:
        """Start it."""
        self._influxd.resume()
        return self._influxd

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._influxd.stop()
