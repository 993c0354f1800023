"""A third-party archive becomes a release: fetched once, compared, unpacked, and marked last."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.policy.repository import ROOT
from tests.support.http_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")
PROGRAM = b"#!/bin/sh\necho thing 1.0\n"
# Enters the phases in the order in which the roles that own a service do.
PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [
            {
                "ansible.builtin.include_role": {"name": "hostpulse_release", "tasks_from": phase},
                "vars": {
                    "hostpulse_release_service": "thing",
                    "hostpulse_release_kind": "archive",
                    "hostpulse_release_archive_version": "1.0",
                    "hostpulse_release_archive_strip": 2,
                    "hostpulse_release_archive_members": ["*/usr/bin/*"],
                    "hostpulse_release_probe": ["bin/thing", "version"],
                    "hostpulse_release_min_free_mib": 1,
                },
            }
            for phase in ("install", "activate")
        ],
    }
]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Make an archive of a vendor's shape, with one program and files that nobody asked for."""
    path = tmp_path / "site" / "thing-1.0.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as packed:
        for name in ("thing-1.0/usr/bin/thing", "thing-1.0/usr/lib/unit", "thing-1.0/LICENSE"):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.uid = len(PROGRAM), 0o755, 1234
            packed.addfile(member, io.BytesIO(PROGRAM))
    return path


@pytest.fixture
def site(archive: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve the archive's folder on loopback."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=archive.parent)
    with serving(handler) as server:
        yield server


def install(folder: Path, source: str, digest: str) -> tuple[bool, str]:
    """Install from ``source`` below ``folder``; return whether it went well and all it said."""
    (folder / "play.json").write_text(json.dumps(PLAY))
    given = {
        "hostpulse_release_root": str(folder / "opt"),
        "hostpulse_release_archive": source,
        "hostpulse_release_archive_sha256": digest,
    }
    done = subprocess.run(
        [
            PLAYBOOK,
            "-i",
            "localhost,",
            "-c",
            "local",
            "-e",
            json.dumps(given),
            folder / "play.json",
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(folder / "ansible"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, " ".join((done.stdout + done.stderr).split())


def test_an_archive_is_fetched_once_and_unpacked_as_the_service_wants(
    tmp_path: Path, archive: Path, site: http.server.ThreadingHTTPServer
) -> None:
    """The second installation, of a release that was damaged, needs no network."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    url = f"http://127.0.0.1:{site.server_address[1]}/{archive.name}"
    went_well, said = install(tmp_path, url, digest)
    assert went_well, said
    release = tmp_path / "opt" / "thing" / "releases" / f"1.0+{digest[:8]}"
    files = {str(path.relative_to(release)) for path in release.rglob("*") if path.is_file()}
    assert files == {".complete", "bin/thing"}
    assert json.loads((release / ".complete").read_text()) == {"archive": digest}
    status = (release / "bin" / "thing").stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (os.geteuid(), 0o755)
    assert (tmp_path / "opt" / "thing" / "current").resolve() == release

    site.shutdown()
    (release / ".complete").unlink()
    (release / "bin" / "thing").write_bytes(b"half")
    went_well, said = install(tmp_path, url, digest)
    assert went_well, said
    assert (release / "bin" / "thing").read_bytes() == PROGRAM
    went_well, said = install(tmp_path, url, digest)
    assert went_well, said
    assert "changed=0" in said


def test_an_archive_with_another_sum_gets_nowhere(
    tmp_path: Path, archive: Path, site: http.server.ThreadingHTTPServer
) -> None:
    """Neither from an address nor from a file does anything of it become current."""
    url = f"http://127.0.0.1:{site.server_address[1]}/{archive.name}"
    for source, told in ((url, "could not be fetched"), (str(archive), "has the SHA-256")):
        went_well, said = install(tmp_path, source, "0" * 64)
        assert not went_well
        assert told in said
        assert "correct hostpulse_thing_sha256" in said or "and hostpulse_thing_sha256" in said
    assert not (tmp_path / "opt" / "thing" / "current").exists()
    assert not list((tmp_path / "opt").rglob(".complete"))
