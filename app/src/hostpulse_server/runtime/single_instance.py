"""One process of a kind a data directory."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hostpulse_server.errors import AlreadyRunningError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def only_one(data_dir: Path, name: str, title: str) -> Iterator[None]:
    """Hold ``<name>.lock`` there; the kernel lets go of it however the process ends.

    Raises AlreadyRunningError, which names the ``title`` and the process that holds it, and
    ConfigError when the directory cannot be used.
    """
    try:
        handle = os.open(data_dir / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"data_dir {data_dir} cannot be used: {error.strerror}; create it for the user that "
            "runs the services"
        ) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode().strip() or "unknown"
            raise AlreadyRunningError(
                f"another {title} (process {holder}) works in {data_dir}; stop it first, or name "
                "another data_dir"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
