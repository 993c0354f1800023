"""Provisioning files: data sources and alerting at a start, dashboards all the time."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tests.servers.grafana_api import alert_files, dashboards, datasources, folders
from tests.servers.grafana_api.api import ApiError
from tests.servers.grafana_api.file_checks import FileError, check_head, need
from tests.servers.grafana_api.settings import expanded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.grafana_api.state import State

PROVIDER = {
    *("name", "orgId", "type", "folder", "folderUid", "disableDeletion", "allowUiUpdates"),
    *("updateIntervalSeconds", "options", "editable"),
}
ENDINGS = (".yaml", ".yml", ".json")


class Provisioning:
    """Reads the files of ``folder`` into ``state``; raises FileError for what it cannot use."""

    def __init__(self, folder: Path, state: State) -> None:
        self._folder = folder
        self._state = state
        self._ended = threading.Event()

    def start(self) -> None:
        """Read everything, and dashboards again and again from now on."""
        self.read_data_sources()
        self.read_alerting()
        for provider in self._providers():
            threading.Thread(target=self._follow, args=(provider,), daemon=True).start()

    def stop(self) -> None:
        """Read no more."""
        self._ended.set()

    def read_data_sources(self) -> None:
        """Add and replace data sources."""
        for name, document in self._documents("datasources"):
            need(name, document, {"apiVersion", "datasources", "deleteDatasources"}, {"apiVersion"})
            for given in document.get("datasources") or []:
                need(name, given, datasources.SETTINGS, {"name", "type", "access"})
                try:
                    one = datasources.made(
                        _resolved(given), read_only=not given.get("editable", False)
                    )
                except ApiError as fault:
                    raise FileError(f"{name}: {fault}") from fault
                there = self._state.find("data_source", one["uid"])
                if there:
                    one["version"] = there["version"] + 1
                self._state.put("data_source", one["uid"], one)

    def read_alerting(self) -> None:
        """Bring alerting into the state that the files have."""
        found = {name: _resolved(document) for name, document in self._documents("alerting")}
        alert_files.apply(self._state, found)

    def read_dashboards(self) -> None:
        """Read the dashboards of all providers now."""
        for provider in self._providers():
            self._read(provider)

    def _follow(self, provider: dict[str, Any]) -> None:
        while True:
            self._read(provider)
            if self._ended.wait(provider.get("updateIntervalSeconds", 10)):
                return

    def _providers(self) -> Iterator[dict[str, Any]]:
        for name, document in self._documents("dashboards"):
            need(name, document, {"apiVersion", "providers"}, {"apiVersion", "providers"})
            for one in document["providers"]:
                need(name, one, PROVIDER, {"name", "options", "type"})
                if one["type"] != "file":
                    raise FileError(f"{name}: the type of a provider is {one['type']!r}, not file")
                yield one

    def _read(self, provider: dict[str, Any]) -> None:
        title = provider.get("folder") or ""
        uid = provider.get("folderUid") or ("" if not title else folders.slug(title))
        with self._state.lock:
            if title and self._state.find("folder", uid) is None:
                folders.make(self._state, uid, title)
            seen = set()
            for path in sorted(Path(provider["options"]["path"]).glob("**/*.json")):
                seen.add(self._save(path, provider, uid))
            if provider.get("disableDeletion"):
                return
            for kept in self._state.all("dashboard_provisioning"):
                if kept["provider"] == provider["name"] and kept["key"] not in seen:
                    dashboards.drop(self._state, kept["key"])
                    self._state.delete("dashboard_provisioning", kept["key"])

    def _save(self, path: Path, provider: dict[str, Any], folder: str) -> str:
        """Save a file's dashboard if the file changed; return its uid."""
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
        uid = folders.checked_uid(document.get("uid"))
        kept = {
            "provider": provider["name"], "file": path.name,
            "sum": hashlib.sha256(text.encode()).hexdigest(),
            "updates": bool(provider.get("allowUiUpdates")),
        }  # fmt: skip
        there = self._state.find("dashboard_provisioning", uid)
        if there is None or there["sum"] != kept["sum"]:
            own = {key: value for key, value in document.items() if key not in ("id", "version")}
            dashboards.store(self._state, uid, own, folder)
            self._state.put("dashboard_provisioning", uid, kept)
        return uid

    def _documents(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in sorted((self._folder / kind).glob("*")):
            if path.suffix in ENDINGS:
                name = f"{kind}/{path.name}"
                try:
                    document = yaml.safe_load(path.read_text(encoding="utf-8"))
                except yaml.YAMLError as fault:
                    raise FileError(f"{name}: {fault}") from fault
                check_head(name, document)
                yield name, document


def _resolved(value: Any) -> Any:
    """Return a value with references to files put in, and two dollars as one."""
    if isinstance(value, dict):
        return {key: _resolved(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one) for one in value]
    return expanded(value).replace("$$", "$") if isinstance(value, str) else value
