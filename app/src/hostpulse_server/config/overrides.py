"""``HOSTPULSE_<SECTION>_<KEY>`` variables, laid over the file before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostpulse_server.config import model
from hostpulse_server.config.reader import CHANNEL_KINDS, ConfigReader, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping

SECTIONS: dict[tuple[str, ...], type[Any]] = {
    ("site",): model.SiteConfig,
    ("api",): model.ApiConfig,
    ("state",): model.StateConfig,
    ("journal",): model.JournalConfig,
    ("store",): model.StoreConfig,
    ("store", "influxdb"): model.InfluxdbConfig,
    ("shipper",): model.ShipperConfig,
    ("retention",): model.RetentionConfig,
    ("alerts",): model.AlertsConfig,
}


def apply(document: dict[str, Any], environ: Mapping[str, str], reader: ConfigReader) -> None:
    """Change ``document`` by every variable that names a key.

    A variable of a section of ours whose key does not exist is a fault; others under the prefix
    belong to other tools and are left alone.
    """
    targets = _targets(document, environ)
    sections = tuple(f"{_variable(*path)}_" for path in SECTIONS)
    for name in sorted(environ):
        if name in targets:
            path, text = targets[name]
            _put(document, path, text(environ[name]))
            reader.variables[".".join(path)] = name
        elif name.startswith(sections):
            reader.fault(name, "this environment variable names no key of the configuration")


def _targets(
    document: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Return variable → (path of its key, what makes the value of its text)."""
    sections = dict(SECTIONS)
    found: dict[str, tuple[tuple[str, ...], Any]] = {_variable("data_dir"): (("data_dir",), str)}
    channels = document.get("channels")
    for name, body in channels.items() if isinstance(channels, dict) else ():
        if not isinstance(body, dict):
            continue
        variable = _variable("channels", name, "kind")
        found[variable] = (("channels", name, "kind"), str)
        kind = CHANNEL_KINDS.get(environ.get(variable, body.get("kind", "")))
        if kind is not None:
            sections["channels", name] = kind
    for path, section in sections.items():
        for key, item in keys_of(section).items():
            found[_variable(*path, key)] = ((*path, key), item.metadata["kind"].text)
    return found


def _variable(*path: str) -> str:
    """Return the variable for a key, or what those of a section begin with."""
    return "_".join(("HOSTPULSE", *path)).upper()


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    table = document
    for name in path[:-1]:
        nested = table.setdefault(name, {})
        if not isinstance(nested, dict):
            return  # the reader reports the wrong section
        table = nested
    table[path[-1]] = value
