"""What the command line says when it fails shows no secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostpulse_server import cli

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s" * 43


def test_an_error_of_the_command_line_shows_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key given whole where its id was meant is not repeated whole."""
    config = tmp_path / "server.toml"
    config.write_text(f'data_dir = "{tmp_path}"\n')
    key = f"hp_abcdefghijkl_{SECRET}"
    command = ["hostpulse-server", "--config", str(config), "keys", "revoke", key]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "hp_abcdefghijkl_***" in said
    assert SECRET not in said
