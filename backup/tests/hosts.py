"""Hosts to back up: folders with the files of a server's and an InfluxDB host."""

from __future__ import annotations

import getpass
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from testbed.influxdb.local import Influxd, program
from tests.support.polling import wait_until

from hostpulse_backup.archive import Archive
from hostpulse_backup.create import BackupRun
from hostpulse_backup.settings import Grafana, Influxdb, Keep, Settings, State

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_backup.manifest import Manifest

ME = getpass.getuser()
RAW, ROLLUP = "hostpulse_raw", "hostpulse_rollup"
STEP_MS = 10_000
# Sorted files within a second.
SNAPSHOT_AT_ONCE = ("--storage-cache-snapshot-write-cold-duration=1ms",)
ROLLUP_MS = 300_000


class InfluxdService:
    """An influxd as the service that a backup stops and starts."""

    def __init__(self, influxd: Influxd) -> None:
        self._influxd = influxd
        self.stops = 0

    def stop(self) -> None:
        """Stop the process."""
        self.stops += 1
        self._influxd.stop()

    def start(self) -> None:
        """Start it again on its data."""
        self._influxd.resume()


@dataclass
class BackupHost:
    """A host below ``root``; ``output`` has the progress lines of all runs."""

    root: Path
    output: list[str] = field(default_factory=list)
    influxd: Influxd | None = None
    state_url: str = ""
    store: str = "embedded"
    keep: Keep = field(default_factory=lambda: Keep(7, 4, 0))
    min_free_bytes: int = 0
    grafana: Grafana | None = None

    @property
    def data_dir(self) -> Path:
        """Where the server's databases are."""
        return self.root / "data"

    @property
    def etc(self) -> Path:
        """Where keys and tokens are."""
        return self.root / "etc"

    @property
    def archive(self) -> Archive:
        """The backups."""
        return Archive(self.root / "backups")

    def settings(self, **other: Any) -> Settings:
        """Return what the role would write for this host."""
        state = State(
            data_dir=self.data_dir,
            url=self.state_url or f"sqlite:///{self.data_dir / 'state.db'}",
            store=self.store,
            user=ME,
            services=(),
            pg_dump="",
        )
        given = Settings(
            host="monitor",
            directory=self.root / "backups",
            configuration=self.etc,
            releases=self.root / "opt",
            results=self.data_dir / "backups" if self.data_dir.exists() else None,
            raw=False,
            drill=False,
            min_free_bytes=self.min_free_bytes,
            keep=self.keep,
            state=state if self.data_dir.exists() else None,
            influxdb=self._influxdb() if self.influxd else None,
            grafana=self.grafana,
        )
        return replace(given, **other)

    def create(self, *, raw: bool = False, **other: Any) -> Manifest:
        """Make a backup."""
        service = InfluxdService(self.influxd) if self.influxd else None
        return BackupRun(self.settings(**other), service, self.output.append).run(raw=raw)

    def folder(self, made: Manifest) -> Path:
        """Return where a backup lies."""
        return self.archive.directory / made.name

    def configure(self) -> None:
        """Make keys and a link into a release, as the roles do."""
        (self.etc / "ca").mkdir(mode=0o700, parents=True)
        (self.etc / "ca" / "ca.key").write_text("the authority's key\n")
        (self.etc / "ca" / "ca.key").chmod(0o600)
        (self.etc / "agent.key").write_text("hp_this_hosts_own\n")
        release = self.root / "opt" / "server" / "releases" / "1.2.3+0123abcd"
        (release / "etc").mkdir(parents=True)
        (release / "etc" / "server.toml").write_text("data_dir = '/var/lib/hostpulse'\n")
        (self.root / "opt" / "server" / "current").symlink_to(release)
        (self.etc / "server.toml").symlink_to(release / "etc" / "server.toml")

    def _influxdb(self) -> Influxdb | None:
        if self.influxd is None:
            return None
        return Influxdb(
            url=self.influxd.url,
            ca_file="",
            org="hostpulse",
            bucket_raw=RAW,
            bucket_rollup=ROLLUP,
            token_file=self.etc / "influxdb" / "backup.token",
            data_dir=self.influxd.directory,
            service="hostpulse-influxdb.service",
            program=program(),
            user=ME,
        )


def with_influxdb(root: Path, hosts: int = 3, points: int = 400) -> BackupHost:
    """Make a host with a filled influxd, its samples in sorted files already."""
    host = BackupHost(root)
    host.configure()
    influxd = Influxd.start(root / "influxdb", SNAPSHOT_AT_ONCE)
    host.influxd = influxd
    day = 86_400
    raw, rollup = influxd.bucket(RAW, 7 * day), influxd.bucket(ROLLUP, 30 * day)
    (host.etc / "influxdb").mkdir(mode=0o700)
    token = host.etc / "influxdb" / "backup.token"
    token.write_text(influxd.token(read=[raw, rollup]))
    token.chmod(0o600)
    fill(influxd, RAW, "usage_percent", hosts, points, STEP_MS)
    fill(influxd, ROLLUP, "usage_percent_mean", hosts, points, ROLLUP_MS)
    shards = root / "influxdb" / "engine" / "data"
    wait_until(
        lambda: all(list(one.glob("*.tsm")) for one in shards.glob("*/autogen/*")),
        "every shard has a sorted file",
    )
    return host


def fill(influxd: Influxd, bucket: str, name: str, hosts: int, points: int, step_ms: int) -> None:
    """Write points that end a minute ago, so that a backup counts all of them."""
    end = time.time_ns() // 1_000_000 - 60_000
    influxd.write(
        bucket,
        "\n".join(
            f"cpu,server_id=web-{host},core=total {name}={point}.{host} {end - point * step_ms}"
            for host in range(hosts)
            for point in range(points)
        ),
    )


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """Return what a statement finds in a SQLite file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(statement).fetchall()
