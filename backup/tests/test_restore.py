"""Restores: compared first, refused where something is, and what was there is kept."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from backup.tests.hosts import RAW, ROLLUP, SNAPSHOT_AT_ONCE, BackupHost, rows, with_influxdb
from testbed.influxdb.local import Influxd
from tests.e2e.services import Site

from hostpulse_backup import bundle, manifest
from hostpulse_backup.errors import DamagedError, DiskSpaceError, RefusedError
from hostpulse_backup.influxdb import Client
from hostpulse_backup.restore import Restore

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_backup.manifest import Manifest


@pytest.fixture
def host(tmp_path: Path) -> BackupHost:
    """Give a server's host with a registry of one server."""
    made = BackupHost(tmp_path / "old")
    made.configure()
    made.data_dir.mkdir()
    Site.make(made.data_dir).register(["web-01"])
    return made


@pytest.fixture
def bare(tmp_path: Path) -> BackupHost:
    """Give a machine on which nothing of ours is but the settings."""
    made = BackupHost(tmp_path / "new")
    made.data_dir.mkdir(parents=True)
    return made


def transferred(host: BackupHost, made: Manifest, to: BackupHost) -> Restore:
    """Transfer a backup to another host as a bundle; return its restore there."""
    packed = host.root / "packed.tar.gz"
    bundle.pack(host.folder(made), packed)
    bundle.unpack(packed, to.archive.directory)
    return Restore(to.settings(), to.folder(made), to.output.append)


@pytest.mark.root
def test_a_bare_machine_gets_databases_keys_and_modes(host: BackupHost, bare: BackupHost) -> None:
    """The registry with its server, the authority's key for root alone."""
    transferred(host, host.create(), bare).run(over=False)
    assert rows(bare.data_dir / "state.db", "SELECT id FROM servers") == [("web-01",)]
    key = bare.etc / "ca" / "ca.key"
    assert key.read_text() == "the authority's key\n"
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.root
def test_what_the_next_installation_or_the_host_makes_itself_stays_away(
    host: BackupHost, bare: BackupHost
) -> None:
    """Links into a release, the agent's own key: a rebuilt host has others."""
    made = host.create()
    assert "configuration/agent.key" not in made.files
    transferred(host, made, bare).run(over=False)
    assert not (bare.etc / "server.toml").exists()
    assert (host.folder(made) / "configuration" / "server.toml").read_text().startswith("data_dir")


def test_a_host_in_use_is_refused_and_nothing_is_changed(host: BackupHost) -> None:
    """The message names what is there and how to say that it is meant."""
    restore = Restore(host.settings(), host.folder(host.create()), host.output.append)
    before = (host.data_dir / "state.db").stat().st_ino
    with pytest.raises(RefusedError, match=r"state\.db.*already.*restore_over=true"):
        restore.run(over=False)
    assert (host.data_dir / "state.db").stat().st_ino == before


@pytest.mark.root
def test_what_is_replaced_is_moved_aside(host: BackupHost) -> None:
    """A restore of the wrong backup can be undone."""
    made = host.create()
    (host.etc / "ca" / "ca.key").write_text("another key\n")
    site = Site.make(host.data_dir)
    site.register(["web-02"])
    Restore(host.settings(), host.folder(made), host.output.append).run(over=True)
    assert rows(host.data_dir / "state.db", "SELECT id FROM servers") == [("web-01",)]
    (aside,) = host.data_dir.glob("before-restore-*")
    assert len(rows(aside / "state.db", "SELECT id FROM servers")) == 2
    (key,) = host.etc.glob(".before-restore-*/ca/ca.key")
    assert key.read_text() == "another key\n"


def test_a_comparison_lists_what_would_change(host: BackupHost, bare: BackupHost) -> None:
    """Counts, sizes, releases and age, before anything is written."""
    report = transferred(host, host.create(), bare).report(over=False)
    changes = {change["target"]: change for change in report["changes"]}  # type: ignore[attr-defined]
    registry = changes[str(bare.data_dir / "state.db")]
    assert registry["now"] == "absent"
    assert "1 servers" in registry["then"]
    assert report["refusals"] == []
    assert report["versions"] == {"backup": {"server": "1.2.3+0123abcd"}, "here": {}}
    assert list(bare.data_dir.iterdir()) == []


def test_an_older_release_does_not_get_a_newer_ones_data(
    host: BackupHost, bare: BackupHost
) -> None:
    """Its schema would be unknown there; --over is no way round."""
    made = host.create()
    release = bare.root / "opt" / "server" / "releases" / "1.2.2+ffffffff"
    release.mkdir(parents=True)
    (release.parent.parent / "current").symlink_to(release)
    with pytest.raises(RefusedError, match=r"server is 1\.2\.2.*install that release or a newer"):
        transferred(host, made, bare).run(over=True)


def test_a_restore_needs_disk_space_first(host: BackupHost, bare: BackupHost) -> None:
    """A disk too small is reported before services are stopped."""
    made = host.create()
    transferred(host, made, bare)
    bare.min_free_bytes = 2**60
    with pytest.raises(DiskSpaceError, match="this restore needs about"):
        Restore(bare.settings(), bare.folder(made), bare.output.append).run(over=False)
    assert list(bare.data_dir.iterdir()) == []


def test_a_damaged_backup_is_not_restored(host: BackupHost, bare: BackupHost) -> None:
    """Every file is read before the first is written."""
    made = host.create()
    with (host.folder(made) / "state" / "state.db").open("r+b") as file:
        file.write(b"SQLITE")
    with pytest.raises(DamagedError, match=r"state/state\.db has another SHA-256"):
        Restore(bare.settings(), host.folder(made), bare.output.append)


def test_a_packed_backup_that_was_changed_is_refused(host: BackupHost, bare: BackupHost) -> None:
    """On its way, or by somebody who has the file."""
    made = host.create()
    packed = host.root / "packed.tar.gz"
    bundle.pack(host.folder(made), packed)
    assert packed.stat().st_mode & 0o777 == 0o600
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    with pytest.raises(DamagedError):
        bundle.unpack(packed, bare.archive.directory)
    assert bare.archive.names() == []


def test_importing_the_same_bundle_twice_is_harmless(host: BackupHost, bare: BackupHost) -> None:
    """A playbook that broke off is run again."""
    made = host.create()
    transferred(host, made, bare)
    transferred(host, made, bare)
    assert bare.archive.names() == [made.name]
    assert manifest.read(bare.folder(made)) == made


@pytest.mark.integration
def test_influxdb_comes_back_with_values_tokens_and_new_samples(tmp_path: Path) -> None:
    """An influxd started on the restored folder answers as the old one, to the old tokens."""
    old = with_influxdb(tmp_path / "old", hosts=2, points=100)
    assert old.influxd is not None
    with old.influxd:
        made = old.create(raw=True)
        counts = made.kinds["influxdb"]["buckets"]
        new = BackupHost(tmp_path / "new")
        new.influxd = Influxd(tmp_path / "new" / "influxdb", SNAPSHOT_AT_ONCE)
        shutil.copytree(old.folder(made), new.folder(made))
        Restore(new.settings(), new.folder(made), new.output.append).run(over=False)
    new.influxd.operator_token = old.influxd.operator_token
    new.influxd.resume()
    with new.influxd:
        client = Client.with_token_file(
            new.influxd.url, "hostpulse", new.etc / "influxdb" / "backup.token"
        )
        for bucket in (RAW, ROLLUP):
            assert client.count(bucket, "2100-01-01T00:00:00Z") == 200
            for sample in counts[bucket]["samples"]:
                assert client.value(bucket, sample) == sample["value"]
