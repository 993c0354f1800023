"""Golden files: compared with as a rule, written anew on request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.golden import WRITE, golden

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a test file with one golden file beside it."""
    monkeypatch.delenv(WRITE, raising=False)
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "a.txt").write_text("as it was\n")
    return str(tmp_path / "test_a.py")


def test_a_text_is_compared_with_what_is_there(test_file: str) -> None:
    """Whatever the text has become."""
    assert golden(test_file, "a.txt", "as it is\n") == "as it was\n"


def test_a_file_that_is_missing_fails_with_the_command_to_run(test_file: str) -> None:
    """A golden file is no test of its own until somebody has looked at it."""
    with pytest.raises(AssertionError, match=r"b.txt is not there; HOSTPULSE_WRITE_GOLDEN=1"):
        golden(test_file, "b.txt", "new\n")


def test_files_are_written_where_the_environment_wants_that(
    test_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders of a family are made, too."""
    monkeypatch.setenv(WRITE, "1")
    assert golden(test_file, "family/a.txt", "as it is\n") == "as it is\n"
    monkeypatch.delenv(WRITE)
    assert golden(test_file, "family/a.txt", "") == "as it is\n"
