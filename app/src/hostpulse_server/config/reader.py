"""Turns TOML tables into the section classes of ``model``, collecting every fault on the way."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hostpulse_server.config.model import (
    Channel,
    EmailChannel,
    RouteConfig,
    SlackChannel,
    WebhookChannel,
)
from hostpulse_server.config.values import Converter, ValueFault
from hostpulse_server.values.alert import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

Section = TypeVar("Section")

CHANNEL_KINDS: dict[str, type[Channel]] = {
    "email": EmailChannel,
    "slack": SlackChannel,
    "webhook": WebhookChannel,
}


def keys_of(section: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """Return the TOML keys of a section class with the fields they fill."""
    return {
        str(item.metadata.get("key", item.name)): item
        for item in dataclasses.fields(section)
        if "kind" in item.metadata
    }


class ConfigReader:
    """Reads sections and remembers ``faults`` as ``key: what is wrong``."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.variables: dict[str, str] = {}  # key → environment variable that its value is from
        self._wrong: list[str] = []

    def fault(self, where: str, text: str) -> None:
        """Note one fault."""
        variable = self.variables.get(where)
        self.faults.append(f"{where}: {text}{f' (from {variable})' if variable else ''}")
        self._wrong.append(where)

    def is_read(self, *keys: str) -> bool:
        """Return whether all these keys, and the sections they are in, are without a fault."""
        return not any(
            key == one or key.startswith(f"{one}.") for one in self._wrong for key in keys
        )

    def table(self, parent: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
        """Return the table ``name`` of ``parent``; a fault and ``{}`` if it is something else."""
        found = parent.get(name, {})
        if isinstance(found, dict):
            return found
        self.fault(path, f"must be a section, written [{path}]")
        return {}

    def unknown(self, table: Mapping[str, Any], allowed: set[str], path: str) -> None:
        """Note every key of ``table`` that is not allowed there."""
        for name in sorted(table.keys() - allowed):
            where = f"{path}.{name}" if path else name
            self.fault(where, f"unknown key; known here: {', '.join(sorted(allowed))}")

    def section(
        self,
        section: type[Section],
        table: Mapping[str, Any],
        path: str,
        also: Mapping[str, Any] | None = None,
    ) -> Section:
        """Read one section; ``also`` are values already read for nested sections.

        A faulty section comes back with zero values in the faulty places: ``load`` raises before
        anyone uses it.
        """
        nested = dict(also or {})
        keys = keys_of(cast("type[Any]", section))
        self.unknown(table, set(keys) | set(nested), path)
        filled: dict[str, Any] = nested
        for name, item in keys.items():
            where = f"{path}.{name}"
            if name in table:
                filled[item.name] = self.value(item.metadata["kind"], table[name], where)
            elif item.default is dataclasses.MISSING:
                self.fault(where, "is required")
                filled[item.name] = None
        return section(**filled)

    def value(self, kind: Converter, value: Any, where: str) -> Any:
        """Read one value; a fault and ``None`` when it is wrong."""
        try:
            return kind.read(value)
        except ValueFault as error:
            self.fault(where, str(error))
            return None

    def channels(self, table: Mapping[str, Any]) -> dict[str, Channel]:
        """Read ``[channels.*]``."""
        channels: dict[str, Channel] = {}
        for name in table:
            path = f"channels.{name}"
            body = dict(self.table(table, name, path))
            kind = body.pop("kind", None)
            if kind not in CHANNEL_KINDS:
                known = ", ".join(f'"{item}"' for item in CHANNEL_KINDS)
                self.fault(f"{path}.kind", f"must be one of {known}")
                continue
            channels[name] = self.section(CHANNEL_KINDS[kind], body, path)
        return channels

    def routes(self, found: Any, channels: Mapping[str, Channel]) -> tuple[RouteConfig, ...]:
        """Read ``[[routes]]``; every channel named must exist."""
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            self.fault("routes", "must be written as [[routes]] sections")
            return ()
        return tuple(self._route(item, f"routes.{i}", channels) for i, item in enumerate(found))

    def _route(
        self, table: Mapping[str, Any], path: str, channels: Mapping[str, Channel]
    ) -> RouteConfig:
        self.unknown(table, {"match", "channels"}, path)
        match = table.get("match", {})
        if not isinstance(match, dict) or not all(isinstance(v, str) for v in match.values()):
            self.fault(f"{path}.match", 'must be a table of texts, as {severity = "critical"}')
            match = {}
        severity = match.get("severity", "*")
        if not any(fnmatchcase(one, severity) for one in SEVERITIES):
            known = ", ".join(SEVERITIES)
            self.fault(f"{path}.match.severity", f'"{severity}" matches none of {known}')
        names = table.get("channels")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.fault(f"{path}.channels", "must be a list of channel names")
            names = []
        for name in names:
            if name not in channels:
                self.fault(f"{path}.channels", f'"{name}" is not a [channels.{name}] of this file')
        return RouteConfig(match=match, channels=tuple(names))
