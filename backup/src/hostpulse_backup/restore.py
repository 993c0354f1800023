"""Restores a backup: compares first, and moves what is replaced aside."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from hostpulse_backup import components, databases, files, services, snapshot
from hostpulse_backup.create import versions
from hostpulse_backup.errors import RefusedError
from hostpulse_backup.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_backup.settings import Settings

# SQLite's files beside a database are replaced with it.
SIDECARS = ("", "-wal", "-shm")


@dataclass(frozen=True)
class Change:
    """One thing that a restore would write: what is there now and what would be."""

    kind: str
    target: str
    now: str
    then: str


class Restore:
    """The restore of one backup onto this host."""

    def __init__(self, settings: Settings, folder: Path, echo: Callable[[str], None]) -> None:
        self.settings = settings
        self.folder = folder
        self.made = verify(folder)
        self._echo = echo
        self._stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")

    def changes(self) -> list[Change]:
        """Return what would be written, without what is the same already."""
        found = [self._change(kind, source, target) for kind, source, target in self._data_files()]
        for name, _, target in self._configuration_files():
            if not target.exists():
                found.append(Change("configuration", str(target), "absent", "as backed up"))
            elif files.sha256(target) != self.made.files[name].sha256:
                found.append(Change("configuration", str(target), "differs", "as backed up"))
        return found

    def refusals(self, changes: list[Change], *, over: bool) -> list[str]:
        """Return why it would be refused: what is there already, and releases that are too old."""
        found = [
            f"{service} is {here} here and was {then} there: install that release or a newer one"
            for service, then in self.made.versions.items()
            for here in [versions(self.settings.releases).get(service)]
            if here and _version(here) < _version(then)
        ]
        if self.made.failed:
            found.append(f"the backup is not whole: {self.made.failed}")
        taken = [change.target for change in changes if change.now != "absent"]
        if taken and not over:
            found.append(
                f"this host has {', '.join(taken[:3])}{' and more' * (len(taken) > 3)} already; "  # noqa: PLR2004
                "what is there would be put aside. Say --over (restore_over=true) to do so"
            )
        return found

    def report(self, *, over: bool) -> dict[str, object]:
        """Return what a restore would do, as JSON."""
        changes = self.changes()
        return {
            "backup": self.made.name,
            "host": self.made.host,
            "age_seconds": round(time.time() - self.made.finished_ms / 1000),
            "versions": {"backup": self.made.versions, "here": versions(self.settings.releases)},
            "raw": self.made.raw,
            "changes": [asdict(change) for change in changes],
            "refusals": self.refusals(changes, over=over),
        }

    def run(self, *, over: bool) -> list[Change]:
        """Restore everything; raises RefusedError and DiskSpaceError before anything is changed.

        Services that ran are stopped, and started again at the end.
        """
        changes = self.changes()
        refusals = self.refusals(changes, over=over)
        if refusals:
            raise RefusedError("; ".join(refusals))
        self._require_space()
        running = services.active(self._services())
        for unit in running:
            self._echo(f"stopping {unit}")
            services.systemctl("stop", unit)
        try:
            for kind, source, target in self._data_files():
                self._echo(f"{kind}: {target}")
                self._replace(source, target, self._owner(kind))
            for name, source, target in self._configuration_files():
                self._replace_configuration(name, source, target)
        finally:
            for unit in reversed(running):
                self._echo(f"starting {unit}")
                services.systemctl("start", unit)
        return changes

    def _data_files(self) -> list[tuple[str, Path, Path]]:
        """Return kind, source and target of everything but the configuration."""
        found = []
        if self.settings.state:
            state = self.settings.state
            for name in self.made.kinds.get("state", {}).get("counts", {}):
                registry = name == components.REGISTRY and state.url.startswith("sqlite:")
                target = components.sqlite_path(state.url) if registry else state.data_dir / name
                found.append(("state", self.folder / "state" / name, target))
            if f"state/{components.LINK_KEY}" in self.made.files:
                source = self.folder / "state" / components.LINK_KEY
                found.append(("state", source, state.data_dir / components.LINK_KEY))
        if self.settings.influxdb and "influxdb" in self.made.kinds:
            for name in (*snapshot.TOP, "engine"):
                source = self.folder / "influxdb" / name
                if source.exists():
                    found.append(("influxdb", source, self.settings.influxdb.data_dir / name))
        if self.settings.grafana and "grafana" in self.made.kinds:
            source = self.folder / "grafana" / components.GRAFANA
            found.append(("grafana", source, self.settings.grafana.data_dir / components.GRAFANA))
        return found

    def _configuration_files(self) -> list[tuple[str, Path, Path]]:
        """Return name, source and target of keys, tokens and certificates.

        What was a link came from a release, and the next installation writes it.
        """
        root = self.settings.configuration
        return [
            (name, self.folder / name, root / Path(name).relative_to("configuration"))
            for name, entry in self.made.below("configuration").items()
            if not entry.link
        ]

    def _change(self, kind: str, source: Path, target: Path) -> Change:
        then = _summary(source)
        return Change(kind, str(target), _summary(target) if target.exists() else "absent", then)

    def _replace(self, source: Path, target: Path, user: str) -> None:
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o700, parents=True)
            shutil.chown(target.parent, user, user)
        fresh = target.with_name(f".restore-{target.name}")
        _copy(source, fresh)
        if target.name == components.JOURNAL:
            databases.renew_epoch(fresh)
        files.chown_tree(fresh, user)
        aside = target.parent / f"before-restore-{self._stamp}"
        for end in SIDECARS:
            old = target.with_name(target.name + end)
            if old.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                old.rename(aside / old.name)
        fresh.rename(target)
        files.sync_folder(target.parent)

    def _replace_configuration(self, name: str, source: Path, target: Path) -> None:
        entry = self.made.files[name]
        if target.exists() and files.sha256(target) == entry.sha256:
            return
        root = self.settings.configuration
        for parent in reversed(target.relative_to(root).parents):
            mode = self.made.folders.get(f"configuration/{parent}", 0o755)
            (root / parent).mkdir(mode=mode, parents=True, exist_ok=True)
        if target.exists():
            aside = root / f".before-restore-{self._stamp}" / target.relative_to(root)
            aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.rename(aside)
        fresh = target.with_name(f".restore-{target.name}")
        _copy(source, fresh)
        fresh.chmod(entry.mode)
        fresh.rename(target)
        self._echo(f"configuration: {target}")

    def _require_space(self) -> None:
        for root in {target.parent for _, _, target in self._data_files()}:
            there = [source for _, source, target in self._data_files() if target.parent == root]
            needed = sum(files.size(source) for source in there)
            files.require_space(root, needed, self.settings.min_free_bytes, "this restore")

    def _services(self) -> list[str]:
        state = list(self.settings.state.services) if self.settings.state else []
        influxdb = [self.settings.influxdb.service] if self.settings.influxdb else []
        grafana = [self.settings.grafana.service] if self.settings.grafana else []
        return state + influxdb + grafana

    def _owner(self, kind: str) -> str:
        here = self.settings
        component = {"state": here.state, "influxdb": here.influxdb, "grafana": here.grafana}[kind]
        return component.user if component else "root"


def _copy(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    if source.is_file():
        files.copy(source, target)
        return
    target.mkdir(mode=0o700)
    files.copy_tree(source, target)


def _summary(path: Path) -> str:
    if path.name == components.REGISTRY:
        counts = databases.counts(path)
        return f"{files.human(files.size(path))}, {counts.get('servers', 0)} servers"
    return files.human(files.size(path))


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release.partition("+")[0])[:3])
