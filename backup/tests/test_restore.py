"""Putting back: compared first, refused where something is, and what was there is kept."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from backup.tests.hosts import EAGER, RAW, ROLLUP, Host, rows, with_influxdb
from engines.influxdb.local import Influxd
from tests.e2e.services import Site

from hostpulse_backup import carry, manifest
from hostpulse_backup.errors import DamagedError, RefusedError, RoomError
from hostpulse_backup.influxdb import Client
from hostpulse_backup.restore import Restore

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_backup.manifest import Manifest


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Give a server's host with a registry of one server."""
    made = Host(tmp_path / "old")
    made.configure()
    made.data_dir.mkdir()
    Site.make(made.data_dir).register(["web-01"])
    return made


@pytest.fixture
def bare(tmp_path: Path) -> Host:
    """Give a machine on which nothing of ours is but the settings."""
    made = Host(tmp_path / "new")
    made.data_dir.mkdir(parents=True)
    return made


def carried(host: Host, made: Manifest, to: Host) -> Restore:
    """Take a backup to another host as a packed file; return its restore there."""
    packed = host.root / "packed.tar.gz"
    carry.pack(host.folder(made), packed)
    carry.unpack(packed, to.archive.directory)
    return Restore(to.settings(), to.folder(made), to.told.append)


def test_a_bare_machine_gets_databases_keys_and_modes(host: Host, bare: Host) -> None:
    """The registry with its server, the authority's key for root alone."""
    carried(host, host.create(), bare).run(over=False)
    assert rows(bare.data_dir / "state.db", "SELECT id FROM servers") == [("web-01",)]
    key = bare.etc / "ca" / "ca.key"
    assert key.read_text() == "the authority's key\n"
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_what_the_next_installation_or_the_host_makes_itself_stays_away(
    host: Host, bare: Host
) -> None:
    """Links into a release, the agent's own key: a rebuilt host has others."""
    made = host.create()
    assert "configuration/agent.key" not in made.files
    carried(host, made, bare).run(over=False)
    assert not (bare.etc / "server.toml").exists()
    assert (host.folder(made) / "configuration" / "server.toml").read_text().startswith("data_dir")


def test_a_host_in_use_is_refused_and_nothing_is_changed(host: Host) -> None:
    """The message names what is there and how to say that it is meant."""
    restore = Restore(host.settings(), host.folder(host.create()), host.told.append)
    before = (host.data_dir / "state.db").stat().st_ino
    with pytest.raises(RefusedError, match=r"state\.db.*already.*restore_over=true"):
        restore.run(over=False)
    assert (host.data_dir / "state.db").stat().st_ino == before


def test_what_is_replaced_is_kept_beside(host: Host) -> None:
    """A restore of the wrong backup can be taken back."""
    made = host.create()
    (host.etc / "ca" / "ca.key").write_text("another key\n")
    site = Site.make(host.data_dir)
    site.register(["web-02"])
    Restore(host.settings(), host.folder(made), host.told.append).run(over=True)
    assert rows(host.data_dir / "state.db", "SELECT id FROM servers") == [("web-01",)]
    (aside,) = host.data_dir.glob("before-restore-*")
    assert len(rows(aside / "state.db", "SELECT id FROM servers")) == 2
    (key,) = host.etc.glob(".before-restore-*/ca/ca.key")
    assert key.read_text() == "another key\n"


def test_a_comparison_tells_what_would_change(host: Host, bare: Host) -> None:
    """Counts, sizes, releases and age, before anything is written."""
    report = carried(host, host.create(), bare).report(over=False)
    changes = {change["target"]: change for change in report["changes"]}  # type: ignore[attr-defined]
    registry = changes[str(bare.data_dir / "state.db")]
    assert registry["now"] == "absent"
    assert "1 servers" in registry["then"]
    assert report["refusals"] == []
    assert report["versions"] == {"backup": {"server": "1.2.3+0123abcd"}, "here": {}}
    assert list(bare.data_dir.iterdir()) == []


def test_an_older_release_does_not_get_a_newer_ones_data(host: Host, bare: Host) -> None:
    """Its schema would be unknown there; --over is no way round."""
    made = host.create()
    release = bare.root / "opt" / "server" / "releases" / "1.2.2+ffffffff"
    release.mkdir(parents=True)
    (release.parent.parent / "current").symlink_to(release)
    with pytest.raises(RefusedError, match=r"server is 1\.2\.2.*install that release or a newer"):
        carried(host, made, bare).run(over=True)


def test_a_restore_needs_room_first(host: Host, bare: Host) -> None:
    """A disk too small is told before services are stopped."""
    made = host.create()
    carried(host, made, bare)
    bare.min_free_bytes = 2**60
    with pytest.raises(RoomError, match="this restore needs about"):
        Restore(bare.settings(), bare.folder(made), bare.told.append).run(over=False)
    assert list(bare.data_dir.iterdir()) == []


def test_a_damaged_backup_is_not_put_back(host: Host, bare: Host) -> None:
    """Every file is read before the first is written."""
    made = host.create()
    with (host.folder(made) / "state" / "state.db").open("r+b") as file:
        file.write(b"SQLITE")
    with pytest.raises(DamagedError, match=r"state/state\.db has another SHA-256"):
        Restore(bare.settings(), host.folder(made), bare.told.append)


def test_a_packed_backup_that_was_changed_is_refused(host: Host, bare: Host) -> None:
    """On its way, or by somebody who has the file."""
    made = host.create()
    packed = host.root / "packed.tar.gz"
    carry.pack(host.folder(made), packed)
    assert packed.stat().st_mode & 0o777 == 0o600
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.write_bytes(content)
    with pytest.raises(DamagedError):
        carry.unpack(packed, bare.archive.directory)
    assert bare.archive.names() == []


def test_taking_the_same_packed_backup_in_twice_is_harmless(host: Host, bare: Host) -> None:
    """A playbook that broke off is run again."""
    made = host.create()
    carried(host, made, bare)
    carried(host, made, bare)
    assert bare.archive.names() == [made.name]
    assert manifest.read(bare.folder(made)) == made


def test_influxdb_comes_back_with_values_tokens_and_new_samples(tmp_path: Path) -> None:
    """An influxd started on the restored folder answers as the old one, to the old tokens."""
    old = with_influxdb(tmp_path / "old", hosts=2, points=100)
    assert old.influxd is not None
    with old.influxd:
        made = old.create(raw=True)
        counts = made.kinds["influxdb"]["buckets"]
        new = Host(tmp_path / "new")
        new.influxd = Influxd(tmp_path / "new" / "influxdb", EAGER)
        shutil.copytree(old.folder(made), new.folder(made))
        Restore(new.settings(), new.folder(made), new.told.append).run(over=False)
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
