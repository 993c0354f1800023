"""Secrets live in files of their own, which only their owner may read."""

from __future__ import annotations

import stat
from pathlib import Path

from hostpulse_server.errors import ConfigError
from hostpulse_server.runtime import redact


def find(name: str, credentials_dir: Path | None, source: Path | None) -> Path:
    """Return where ``name`` is: itself if absolute, else a credential, else beside the config."""
    path = Path(name)
    if path.is_absolute():
        return path
    if credentials_dir is not None and (credentials_dir / name).exists():
        return credentials_dir / name
    return (source.parent if source is not None else Path.cwd()) / name


def read(name: str, credentials_dir: Path | None, source: Path | None) -> str:
    """Return the secret's text without the line end; raise ConfigError with the fix."""
    path = find(name, credentials_dir, source)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"secret file {path} cannot be read ({reason})") from None
    # systemd hands credentials out 0440 to the unit's own user; nobody else can enter the folder
    inside_credentials = credentials_dir is not None and path.is_relative_to(credentials_dir)
    loose = stat.S_IRWXO if inside_credentials else stat.S_IRWXG | stat.S_IRWXO
    if mode & loose:
        raise ConfigError(f"secret file {path} can be read by others; run chmod 600 {path}")
    if not text:
        raise ConfigError(f"secret file {path} is empty; put the secret on its first line")
    redact.hide(text)
    return text
