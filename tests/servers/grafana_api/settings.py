"""Settings of the stand-in: defaults, an ini file in Grafana's syntax, and the command line.

The syntax is what the documentation of Grafana, and of the ini library that it names, says; that a
real one reads a file so, only a real one shows (test_grafana_ini.py). ``#`` and ``;`` begin a
comment also behind a value, three double quotes or a backquote protect one, and ``$__file{PATH}``
stands for what a file holds.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

QUOTE = '"""'
HIDDEN = "*********"  # what a secret is shown as
_SECRET = re.compile(r"password|secret|private_key|vault_token", re.IGNORECASE)
_PROVIDER = re.compile(r"\$__(file|env)\{([^}]*)\}")

Sections = dict[str, dict[str, str]]


class SettingsError(Exception):
    """A setting cannot be used; the message names it."""


def parse(text: str) -> Sections:
    """Return the values of an ini file by section and key, as they are written."""
    found: Sections = {}
    section = "DEFAULT"
    lines = iter(text.splitlines())
    for line in lines:
        bare = line.strip()
        if not bare or bare[0] in "#;":
            continue
        if bare.startswith("["):
            section = bare[1 : bare.index("]")]
            found.setdefault(section, {})
            continue
        key, equals, value = bare.partition("=")
        if not equals:
            raise SettingsError(f"[{section}] {bare!r} is no setting: KEY = VALUE")
        found.setdefault(section, {})[key.strip()] = _value(value.strip(), lines)
    return found


def _value(text: str, more: Iterable[str]) -> str:
    if text.startswith(QUOTE):
        rest = text.removeprefix(QUOTE)
        collected = [rest]
        lines = iter(more)
        while QUOTE not in collected[-1]:
            collected.append(next(lines))
        return "\n".join(collected).rpartition(QUOTE)[0]
    if text.startswith("`"):
        return text[1:].partition("`")[0]
    text = re.sub(r"[#;].*", "", text).strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def expanded(text: str) -> str:
    """Return a value with what ``$__file`` and ``$__env`` stand for."""

    def value(found: re.Match[str]) -> str:
        kind, name = found.groups()
        if kind == "env":
            return os.environ.get(name, "")
        try:
            return Path(name).read_text(encoding="utf-8").strip()
        except OSError as fault:
            raise SettingsError(f"$__file{{{name}}} cannot be read: {fault.strerror}") from fault

    return _PROVIDER.sub(value, text)


class Settings:
    """What holds: values of the file over the defaults, values of the command line over both."""

    def __init__(self, home: Path, file: Path | None, overrides: Iterable[str] = ()) -> None:
        found = parse((home / "conf" / "defaults.ini").read_text(encoding="utf-8"))
        given = parse(file.read_text(encoding="utf-8")) if file else {}
        for override in overrides:
            name, _, value = override.removeprefix("cfg:").partition("=")
            section, _, key = name.rpartition(".")
            given.setdefault(section, {})[key] = value
        for section, values in given.items():
            found.setdefault(section, {}).update(values)
        self._values = {
            section: {key: expanded(value) for key, value in values.items()}
            for section, values in found.items()
        }
        self._home = home

    def text(self, section: str, key: str) -> str:
        """Return a value; raise where neither the file nor the defaults have it."""
        try:
            return self._values[section][key]
        except KeyError:
            raise SettingsError(f"[{section}] {key} is not set") from None

    def switch(self, section: str, key: str) -> bool:
        """Return a value that is true or false."""
        text = self.text(section, key)
        if text not in ("true", "false"):
            raise SettingsError(f"[{section}] {key} is {text!r}, neither true nor false")
        return text == "true"

    def number(self, section: str, key: str) -> int:
        """Return a whole number."""
        try:
            return int(self.text(section, key))
        except ValueError as fault:
            raise SettingsError(f"[{section}] {key}: {fault}") from None

    def path(self, key: str) -> Path:
        """Return a path of the section ``paths``; a relative one is below the program's folder."""
        return self._home / self.text("paths", key)

    def database(self) -> Path:
        """Return where the database is; refuse one that is not SQLite."""
        if self.text("database", "type") != "sqlite3":
            raise SettingsError("[database] type: the stand-in has sqlite3 only")
        return self.path("data") / self.text("database", "path")

    def sub_path(self) -> str:
        """Return what every path begins with, without a slash at the end."""
        if not self.switch("server", "serve_from_sub_path"):
            return ""
        return re.sub(r"^[a-z]+://[^/]*", "", self.text("server", "root_url")).rstrip("/")

    def shown(self) -> Sections:
        """Return all values, secrets hidden."""
        return {
            section: {
                key: HIDDEN if value and _SECRET.search(key) else value
                for key, value in values.items()
            }
            for section, values in self._values.items()
        }
