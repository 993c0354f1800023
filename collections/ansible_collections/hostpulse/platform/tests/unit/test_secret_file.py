"""Secrets in files: made whole or not at all, readable by their owner only."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(utilities: dict[str, Any]) -> Any:
    """Give the module under test."""
    return utilities["secret_file"]


def test_a_secret_is_made_once_for_all_who_ask_at_once(files: Any, tmp_path: Path) -> None:
    """Every run goes on with the same, and no other file stays."""
    path = tmp_path / "token"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: files.make_secret(str(path), "it"), range(32)))
    assert len(found) == 1
    assert len(found.pop()) == 64
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_run_that_dies_early_leaves_no_half_a_secret(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until all is on disk there is no file of that name."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.make_secret(str(tmp_path / "token"), "it")
    assert list(tmp_path.iterdir()) == []


def test_a_dangling_link_is_not_written_through(files: Any, tmp_path: Path) -> None:
    """Somebody's link to nowhere is told, not followed."""
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        files.make_secret(str(tmp_path / "token"), "it")
    assert not (tmp_path / "elsewhere").exists()
