"""The command line: what an operator, the timer and the playbooks call."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hostpulse_backup import (
    bundle,
    compare,
    manifest,
    settings,
    snapshot,
    verify,
)
from hostpulse_backup.archive import Archive
from hostpulse_backup.components import STORE
from hostpulse_backup.create import BackupRun
from hostpulse_backup.errors import BackupError, DamagedError
from hostpulse_backup.files import human
from hostpulse_backup.influxdb import Client
from hostpulse_backup.restore import Restore
from hostpulse_backup.restore_test import run_restore_test
from hostpulse_backup.services import Unit
from hostpulse_backup.status_files import StatusFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hostpulse_backup.manifest import Manifest
    from hostpulse_backup.settings import Settings

ABOUT = """\
Backups of what this host cannot make again: the server's databases, keys and tokens, InfluxDB,
the database of Grafana.
The timer hostpulse-backup.timer makes one a day; playbooks/backup.yml and playbooks/restore.yml
drive all hosts. NAME is a backup's name as `list` shows it, or latest.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0, or 1 with what is wrong on stderr."""
    # Ended by systemd as by a person: what was begun is cleaned up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    os.umask(0o077)
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except BackupError as error:
        print(f"hostpulse-backup: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"hostpulse-backup: {error}; is the disk full, or are you not root?", file=sys.stderr)
        return 1
    return 0


def echo(line: str) -> None:
    """Print progress; on stderr, so that stdout holds the result alone."""
    print(line, file=sys.stderr, flush=True)


def create(given: argparse.Namespace) -> None:
    """Create a backup and, if so configured, run a restore test of it."""
    here = settings.load(given.settings)
    raw = given.raw or here.raw
    service = _influxdb_service(here)
    if service and service.resume():
        echo(f"started {service.name}, which a killed run had left stopped")
    creation = BackupRun(here, service, echo)
    if given.check:
        needed = creation.require_space(raw=raw)
        print(json.dumps({"needed_bytes": needed, "kinds": creation.kinds()}))
        return
    made = creation.run(raw=raw)
    if here.drill and not given.no_drill and not made.failed:
        _run_and_record(here, here.directory / made.name)
    _print_summary(made, Archive(here.directory), as_json=given.json)
    if made.failed:
        raise BackupError(
            f"{made.name} is not whole: "
            + "; ".join(f"{kind}: {why}" for kind, why in made.failed.items())
        )


def list_backups(given: argparse.Namespace) -> None:
    """List the backups, oldest first."""
    archive = Archive(settings.load(given.settings).directory)
    found = [_summary(archive, name) for name in archive.names()]
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for one in found:
        state = one["error"] or ("tried" if one["verified"] else "not tried yet")
        kinds = ", ".join(one["kinds"]) + (" with raw samples" if one["raw"] else "")
        print(f"{one['name']}  {human(one['bytes']):>10}  {kinds}  {state}")
    if not found:
        print(f"no backup in {archive.directory}")


def verify_backup(given: argparse.Namespace) -> None:
    """Read every file of a backup, or of a packed one, and compare it with the manifest."""
    if given.name.endswith(".tar.gz"):
        made = bundle.check(Path(given.name))
    else:
        made = verify.verify(Archive(settings.load(given.settings).directory).find(given.name))
    print(f"{made.name} is whole: {len(made.files)} files, {human(made.bytes)}, of {made.host}")


def restore_test(given: argparse.Namespace) -> None:
    """Restore a backup into a scratch place and compare."""
    here = settings.load(given.settings)
    archive = Archive(here.directory)
    with archive.lock():
        made = _run_and_record(here, archive.find(given.name))
    _print_summary(made, archive, as_json=given.json)


def restore(given: argparse.Namespace) -> None:
    """Show what would be restored, or restore it."""
    here = settings.load(given.settings)
    archive = Archive(here.directory)
    with archive.lock():
        wanted = Restore(here, archive.find(given.name), echo)
        if given.check:
            print(json.dumps(wanted.report(over=given.over), indent=1))
            return
        changes = wanted.run(over=given.over)
    print(f"put {wanted.made.name} of {wanted.made.host} back: {len(changes)} things written")


def prove(given: argparse.Namespace) -> None:
    """Ask the running stores for the values that a backup notes."""
    here = settings.load(given.settings)
    made = manifest.read(Archive(here.directory).find(given.name))
    problems: list[str] = []
    compared = 0
    if here.state and STORE in made.kinds.get("state", {}).get("counts", {}):
        problems += compare.embedded_store(here.state.data_dir / STORE, made)
        compared += len(made.kinds["state"]["samples"])
    if here.influxdb and "influxdb" in made.kinds:
        there = here.influxdb
        client = Client.with_token_file(there.url, there.org, there.token_file, there.ca_file)
        found, count = compare.influxdb(client, made, live=True)
        problems, compared = problems + found, compared + count
    if problems:
        raise DamagedError(f"the stores do not hold what {made.name} notes: {'; '.join(problems)}")
    print(f"{compared} values of {made.name} are answered as they were")


def pack(given: argparse.Namespace) -> None:
    """Export a backup as one file."""
    folder = Archive(settings.load(given.settings).directory).find(given.name)
    bundle.pack(folder, given.file)
    print(folder.name)


def unpack(given: argparse.Namespace) -> None:
    """Import a packed backup."""
    archive = Archive(settings.load(given.settings).directory)
    with archive.lock():
        print(bundle.unpack(given.file, archive.directory).name)


def resume(given: argparse.Namespace) -> None:
    """Start InfluxDB if a killed run left it stopped, and remove the snapshot of that run."""
    here = settings.load(given.settings)
    service = _influxdb_service(here)
    if service and service.resume():
        echo(f"started {service.name}, which a killed run had left stopped")
    if here.influxdb:
        snapshot.clear(here.influxdb.data_dir)


def _run_and_record(here: Settings, folder: Path) -> Manifest:
    archive, status_files = Archive(here.directory), StatusFiles(here.results)
    at_ms = time.time_ns() // 1_000_000
    newest = archive.names()[-1] == folder.name
    error = ""
    try:
        made = run_restore_test(here, folder, echo)
    except BackupError as found:
        error = str(found)
        raise
    finally:
        archive.record_restore_test(folder.name, at_ms, error)
        if newest:
            for kind in _kinds(folder):
                status_files.record_restore_test(kind, error)
    echo(f"{folder.name}: the drill passed")
    return made


def _kinds(folder: Path) -> list[str]:
    try:
        return list(manifest.read(folder).kinds)
    except DamagedError:
        return []


def _influxdb_service(here: Settings) -> Unit | None:
    if here.influxdb is None:
        return None
    return Unit(here.influxdb.service, here.directory / ".stopped")


def _summary(archive: Archive, name: str) -> dict[str, Any]:
    tried = archive.restore_test(name)
    document: dict[str, Any] = {"name": name, "bytes": 0, "kinds": [], "raw": False, "host": ""}
    document.update(verified=tried.get("passed") is True, error=str(tried.get("error", "")))
    try:
        made = manifest.read(archive.directory / name)
    except DamagedError as error:
        return {**document, "error": str(error)}
    document.update(bytes=made.bytes, kinds=list(made.kinds), raw=made.raw, host=made.host)
    document.update(finished_ms=made.finished_ms, versions=made.versions)
    document["error"] = document["error"] or "; ".join(made.failed.values())
    return document


def _print_summary(made: Manifest, archive: Archive, *, as_json: bool) -> None:
    one = _summary(archive, made.name)
    if as_json:
        print(json.dumps(one))
    else:
        print(f"{one['name']}: {human(one['bytes'])} of {', '.join(one['kinds'])}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hostpulse-backup", description=ABOUT)
    parser.add_argument("--settings", type=Path, default=settings.DEFAULT, metavar="FILE")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], None], text: str, *, of_one: bool = True
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        if of_one:
            made.add_argument("name", metavar="NAME")
        return made

    one = command("create", create, "make a backup, prune, and try it", of_one=False)
    one.add_argument("--raw", action="store_true", help="raw samples too, not only rollups")
    one.add_argument("--no-drill", action="store_true", help="do not try it afterwards")
    one.add_argument("--check", action="store_true", help="only say how much room it wants")
    one.add_argument("--json", action="store_true")
    command("list", list_backups, "list the backups", of_one=False).add_argument(
        "--json", action="store_true"
    )
    command("verify", verify_backup, "read every file and compare it with its SHA-256")
    command("drill", restore_test, "restore into a scratch place and compare").add_argument(
        "--json", action="store_true"
    )
    one = command("restore", restore, "put a backup back")
    which = one.add_mutually_exclusive_group(required=True)
    which.add_argument("--check", action="store_true", help="only compare: what would change")
    which.add_argument("--yes", action="store_true", help="do it")
    one.add_argument("--over", action="store_true", help="put aside what is there already")
    command("prove", prove, "ask the running stores for values that the backup notes")
    command("pack", pack, "write a backup as one file").add_argument("file", type=Path)
    command("unpack", unpack, "take a packed backup in", of_one=False).add_argument(
        "file", type=Path
    )
    command("resume", resume, "start InfluxDB if a killed run left it stopped", of_one=False)
    return parser
