"""The settings that the role writes: which components this host has and where they are."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hostpulse_backup.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT = Path("/etc/hostpulse/backup.json")
Section = TypeVar("Section")


@dataclass(frozen=True)
class Keep:
    """How many backups stay: the newest one of so many days, weeks and months."""

    daily: int
    weekly: int
    monthly: int


@dataclass(frozen=True)
class State:
    """The server's own data: databases in ``data_dir``, read by services of ``user``.

    ``url`` is empty where the state database is somebody else's to back up.
    """

    data_dir: Path
    url: str
    store: str
    user: str
    services: tuple[str, ...]
    pg_dump: str


@dataclass(frozen=True)
class Influxdb:
    """An InfluxDB of ours on this host; ``program`` is its influxd, for restore tests."""

    url: str
    ca_file: str
    org: str
    bucket_raw: str
    bucket_rollup: str
    token_file: Path
    data_dir: Path
    service: str
    program: Path
    user: str


@dataclass(frozen=True)
class Grafana:
    """A Grafana of ours on this host: its database is in ``data_dir``, and ``user``'s."""

    data_dir: Path
    service: str
    user: str


@dataclass(frozen=True)
class Settings:
    """Everything; a component that the host does not have is ``None``."""

    host: str
    directory: Path
    configuration: Path
    releases: Path
    results: Path | None
    raw: bool
    drill: bool
    min_free_bytes: int
    keep: Keep
    state: State | None
    influxdb: Influxdb | None
    grafana: Grafana | None


def load(path: Path) -> Settings:
    """Read the settings; raises SettingsError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return parse(document)
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}; run as root, and site.yml first, which writes it"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"{path}: {error}; run site.yml, which writes it anew") from None


def parse(document: dict[str, Any]) -> Settings:
    """Make settings of a JSON object; raises KeyError, TypeError or ValueError."""
    given = dict(document)
    sections = {"keep": Keep, "state": State, "influxdb": Influxdb, "grafana": Grafana}
    for name, kind in sections.items():
        if given.get(name) is not None:
            given[name] = _section(kind, given[name])
    return _section(Settings, given)


def _section(kind: Callable[..., Section], given: dict[str, Any]) -> Section:
    types = {item.name: str(item.type) for item in fields(kind)}  # type: ignore[arg-type]
    if set(types) != set(given):
        odd = sorted(set(types) ^ set(given))
        raise ValueError(f"missing or unknown: {', '.join(odd)}")
    values: dict[str, Any] = {}
    for name, value in given.items():
        if "Path" in types[name] and value is not None:
            values[name] = Path(value)
        else:
            values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)
