"""The last good rules files, kept on disk for a start at which the files are wrong."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostpulse_server.errors import RulesError
from hostpulse_server.rules import RuleSet, load_texts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptRuleSet:
    """Rules with the time at which their files were read first."""

    rules: RuleSet
    read_ms: int


class KeptRules:
    """One file in the data directory; a fault of it never keeps the engine from working."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, texts: Mapping[str, bytes], now_ms: int) -> None:
        """Replace what is kept, unless it is the same."""
        try:
            files = [[name, text.decode()] for name, text in texts.items()]
            if self._document().get("files") != files:
                self._write(json.dumps({"read_ms": now_ms, "files": files}))
        except (OSError, ValueError) as error:
            log.warning("the rules were not kept in %s: %s", self._path, error)

    def load(self) -> KeptRuleSet | None:
        """Return what is kept, ``None`` without any or if this release cannot read it."""
        try:
            document = self._document()
            if not document:
                return None
            return KeptRuleSet(load_texts(dict(document["files"])), int(document["read_ms"]))
        except (OSError, RulesError, *_UNREADABLE) as error:
            log.warning("the rules kept in %s cannot be used: %s", self._path, error)
            return None

    def _document(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, text: str) -> None:
        new = self._path.with_suffix(".new")
        new.touch(0o600)
        with new.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
