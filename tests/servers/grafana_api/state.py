"""What the stand-in keeps: documents by kind in one SQLite file, as Grafana keeps a database."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = (
    *("user", "organization", "login_attempt", "team", "service_account", "folder", "dashboard"),
    *("dashboard_version", "dashboard_provisioning", "data_source", "alert_rule"),
    *("contact_point", "template", "mute_timing", "policy"),
)
BUSY_SECONDS = 10

Document = dict[str, Any]


class State:
    """Documents with an ``id`` of their own, unique by kind and key.

    Another process may write to the same file (``grafana cli``), so nothing is remembered between
    two calls. ``lock`` makes several calls one step for the threads of a server.
    """

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._database = sqlite3.connect(
            path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        for kind in KINDS:
            self._database.execute(
                f'CREATE TABLE IF NOT EXISTS "{kind}"'
                " (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, body TEXT NOT NULL)"
            )

    def insert(self, kind: str, key: str, body: Document) -> Document:
        """Add a document; raise ``sqlite3.IntegrityError`` where the key is taken."""
        with self.lock:
            done = self._database.execute(
                f'INSERT INTO "{kind}" (key, body) VALUES (?, ?)',  # noqa: S608 - of KINDS
                (key, json.dumps(body)),
            )
        return {**body, "id": done.lastrowid}

    def update(self, kind: str, key: str, body: Document) -> None:
        """Replace the document of a key."""
        kept = {name: value for name, value in body.items() if name != "id"}
        with self.lock:
            self._database.execute(
                f'UPDATE "{kind}" SET body = ? WHERE key = ?',  # noqa: S608 - of KINDS
                (json.dumps(kept), key),
            )

    def put(self, kind: str, key: str, body: Document) -> Document:
        """Replace the document of a key, or add it."""
        with self.lock:
            if self.find(kind, key) is None:
                return self.insert(kind, key, body)
            self.update(kind, key, body)
            return self.find(kind, key) or {}

    def delete(self, kind: str, key: str) -> None:
        """Remove the document of a key, if there is one."""
        with self.lock:
            self._database.execute(
                f'DELETE FROM "{kind}" WHERE key = ?',  # noqa: S608 - of KINDS
                (key,),
            )

    def find(self, kind: str, key: str) -> Document | None:
        """Return the document of a key."""
        return next(self._select(kind, "WHERE key = ?", key), None)

    def by_id(self, kind: str, number: int) -> Document | None:
        """Return the document of an id."""
        return next(self._select(kind, "WHERE id = ?", number), None)

    def all(self, kind: str) -> list[Document]:
        """Return all documents of a kind in the order in which they came."""
        return list(self._select(kind, "ORDER BY id"))

    def keyed(self, kind: str, prefix: str) -> list[Document]:
        """Return the documents whose key begins with ``prefix``."""
        return list(self._select(kind, "WHERE substr(key, 1, ?) = ? ORDER BY id",
                                 len(prefix), prefix))  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _select(self, kind: str, where: str, *values: str | int) -> Iterator[Document]:
        with self.lock:
            rows = self._database.execute(
                f'SELECT id, key, body FROM "{kind}" {where}',  # noqa: S608 - constants
                values,
            ).fetchall()
        for number, key, body in rows:
            yield {**json.loads(body), "id": number, "key": key}
