"""Restore test: restores a backup into a scratch place and compares it with its manifest."""

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


def run_restore_test(settings: Settings, folder: Path, echo: Callable[[str], None]) -> Manifest:
    """Test a backup; return its manifest, or raise BackupError that names what does not match."""
    echo("reading every file")
    made = verify.verify(folder)
    problems = []
    for kind in ("state", "grafana"):
        if kind in made.kinds:
            echo(f"{kind}: looking through the databases")
            problems += compare.copied_databases(folder, made, kind)
    if "influxdb" in made.kinds:
        if settings.influxdb is None:
            raise StoreError("there is no influxd on this host to try the backup with")
        with scratch_influxd(settings, settings.influxdb, folder, made) as client:
            found, compared = compare.influxdb(client, made, live=False)
            echo(f"influxdb: compared the counts and {compared} values with the manifest's")
            problems += found
    verify.raise_if_damaged(made.name, problems)
    if made.failed:
        raise DamagedError(f"{made.name} is not whole: {made.failed}; make another one")
    return made


@contextmanager
def scratch_influxd(
    settings: Settings, here: Influxdb, folder: Path, made: Manifest
) -> Iterator[Client]:
    """Run another influxd on a copy of the backup, on a free port; yield its client."""
    for left in here.data_dir.glob(f"{SCRATCH}*"):
        shutil.rmtree(left)
    needed = sum(files.allocated(folder / name) for name in made.below("influxdb"))
    files.require_space(here.data_dir, needed, settings.min_free_bytes, "this drill")
    place = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=here.data_dir))
    try:
        files.copy_tree(folder / "influxdb", place, durable=False)
        files.chown_tree(place, here.user)
        token = folder / "configuration" / here.token_file.relative_to(settings.configuration)
        if not token.exists():
            token = here.token_file
        with _running(here, place) as (url, process):
            client = Client.with_token_file(url, here.org, token)
            client.wait(lambda: process.poll() is None)
            yield client
    finally:
        shutil.rmtree(place, ignore_errors=True)


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
