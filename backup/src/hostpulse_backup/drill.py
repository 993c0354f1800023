"""Trying a backup: put back into a scratch place and asked what the manifest says it knows."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hostpulse_backup import compare, files, verify
from hostpulse_backup.errors import DamagedError, StoreError
from hostpulse_backup.influxdb import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hostpulse_backup.manifest import Manifest
    from hostpulse_backup.settings import Influxdb, Settings

SCRATCH = ".hostpulse-drill-"
NEVER = "87600h"
STOP_SECONDS = 60


def drill(settings: Settings, folder: Path, tell: Callable[[str], None]) -> Manifest:
    """Try a backup; return its manifest, or raise BackupError that says what does not hold."""
    tell("reading every file")
    made = verify.verify(folder)
    faults = []
    for kind in ("state", "grafana"):
        if kind in made.kinds:
            tell(f"{kind}: looking through the databases")
            faults += compare.copies(folder, made, kind)
    if "influxdb" in made.kinds:
        if settings.influxdb is None:
            raise StoreError("there is no influxd on this host to try the backup with")
        with scratch(settings, settings.influxdb, folder, made) as client:
            found, compared = compare.influxdb(client, made, live=False)
            tell(f"influxdb: compared the counts and {compared} values with the manifest's")
            faults += found
    verify.refuse(made.name, faults)
    if made.failed:
        raise DamagedError(f"{made.name} is not whole: {made.failed}; make another one")
    return made


@contextmanager
def scratch(settings: Settings, here: Influxdb, folder: Path, made: Manifest) -> Iterator[Client]:
    """Run another influxd on a copy of the backup, on a port of its own; give its client."""
    for left in here.data_dir.glob(f"{SCRATCH}*"):
        shutil.rmtree(left)
    needed = sum(files.allocated(folder / name) for name in made.below("influxdb"))
    files.need_room(here.data_dir, needed, settings.min_free_bytes, "this drill")
    place = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=here.data_dir))
    try:
        files.copy_tree(folder / "influxdb", place, durable=False)
        give(place, here.user)
        token = folder / "configuration" / here.token_file.relative_to(settings.configuration)
        if not token.exists():
            token = here.token_file
        with _running(here, place) as (url, process):
            client = Client.with_token_file(url, here.org, token)
            client.wait(lambda: process.poll() is None)
            yield client
    finally:
        shutil.rmtree(place, ignore_errors=True)


def give(place: Path, user: str) -> None:
    """Make a folder and all in it belong to a user."""
    for below in [place, *place.rglob("*")]:
        shutil.chown(below, user, user)


@contextmanager
def _running(here: Influxdb, place: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(here.program),
        f"--http-bind-address=127.0.0.1:{port}",
        f"--bolt-path={place / 'influxd.bolt'}",
        f"--sqlite-path={place / 'influxd.sqlite'}",
        f"--engine-path={place / 'engine'}",
        f"--storage-retention-check-interval={NEVER}",  # an old backup is compared whole
        "--no-tasks",
        "--reporting-disabled",
        "--pprof-disabled",
        "--metrics-disabled",
        "--log-level=error",
    ]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(place)}
    process = subprocess.Popen(
        command, env=environment, cwd=place, user=here.user, group=here.user, extra_groups=[]
    )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
