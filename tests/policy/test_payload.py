"""The payload build: reproducible, hash-pinned, whole for every interpreter, rebuilt when due."""

from __future__ import annotations

import json
import shutil
import tomllib
from importlib.metadata import version
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename
from tools.payload import pins as pinned
from tools.payload.build import (
    AGENT,
    BACKUP,
    CACHE,
    ROOT,
    SERVER,
    Product,
    build,
    requirements,
)
from tools.payload.wheelhouse import PayloadError, Wheelhouse, sha256

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

WHEELS = CACHE / "wheels"
PRODUCTS = pytest.mark.parametrize(
    "product", [AGENT, BACKUP, SERVER], ids=["agent", "backup", "server"]
)
WITH_WHEELS = pytest.mark.parametrize("product", [AGENT, SERVER], ids=["agent", "server"])


def make(product: Product, output: Path, *, suffix: str = "", check: bool = False) -> bool:
    """Build with the repository's own wheel cache, so that only the first run needs a network."""
    return build(product, output, cache=WHEELS, suffix=suffix, check=check)


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory by its relative name."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@PRODUCTS
def test_two_builds_of_one_source_are_byte_equal(product: Product, tmp_path: Path) -> None:
    """Anybody can rebuild a release and compare it with the one that was published."""
    assert make(product, tmp_path / "one")
    assert make(product, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_second_build_changes_nothing_and_a_damaged_payload_is_built_anew(tmp_path: Path) -> None:
    """What lies there counts as current only while every file has its recorded hash."""
    make(AGENT, tmp_path / "payload")
    assert not make(AGENT, tmp_path / "payload")
    wheel = next((tmp_path / "payload" / "wheels").glob("psutil-*"))
    wheel.write_bytes(wheel.read_bytes()[:-1])
    assert make(AGENT, tmp_path / "payload")
    assert not make(AGENT, tmp_path / "payload")


def test_a_zipapp_is_built_anew_only_where_it_is_not_what_was_built(tmp_path: Path) -> None:
    """A file that is damaged, or one that does not belong there."""
    make(BACKUP, tmp_path / "payload")
    assert not make(BACKUP, tmp_path / "payload")
    program = tmp_path / "payload" / "hostpulse-backup.pyz"
    good = program.read_bytes()
    program.write_bytes(good[:-1])
    assert make(BACKUP, tmp_path / "payload")
    assert program.read_bytes() == good
    (tmp_path / "payload" / "stray").touch()
    assert make(BACKUP, tmp_path / "payload")
    assert not make(BACKUP, tmp_path / "payload")


def test_a_zipapp_depends_on_its_sources_alone(tmp_path: Path) -> None:
    """Neither times nor modes of a checkout get into it, and its modules are stored as they are."""
    make(BACKUP, tmp_path / "payload")
    with ZipFile(tmp_path / "payload" / "hostpulse-backup.pyz") as program:
        members = program.infolist()
        assert {(one.date_time, one.external_attr >> 16) for one in members} == {
            ((1980, 1, 1, 0, 0, 0), 0o100644)
        }
        assert [one.filename for one in members] == sorted(one.filename for one in members)
        sources = {str(path.relative_to(ROOT / "backup" / "src")) for path in BACKUP.sources()}
        assert {one.filename for one in members} == sources | {"__main__.py"}
        for name in sources:
            assert program.read(name) == (ROOT / "backup" / "src" / name).read_bytes()


def test_a_check_tells_of_the_change_and_writes_nothing(tmp_path: Path) -> None:
    """Check mode on a bare controller reports a change and leaves no trace."""
    assert make(AGENT, tmp_path / "payload", check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_makes_a_payload_of_another_version(tmp_path: Path) -> None:
    """An upgrade test gets a newer version without touching the sources."""
    make(AGENT, tmp_path / "payload", suffix=".post1")
    manifest = json.loads((tmp_path / "payload" / "manifest.json").read_text())
    assert manifest["version"].endswith(".post1")
    assert manifest["version"] in manifest["wheel"]


@WITH_WHEELS
def test_every_wheel_is_pinned_and_every_target_is_served(product: Product, tmp_path: Path) -> None:
    """On each machine and Python the requirements name exactly one fitting, hashed wheel each."""
    make(product, tmp_path / "payload")
    pins = pinned.parse((tmp_path / "payload" / "requirements.txt").read_text())
    wheels = {path.name: sha256(path) for path in (tmp_path / "payload" / "wheels").iterdir()}
    named = {digest for pin in pins for digest in pin.hashes}
    assert {name for name, digest in wheels.items() if digest not in named} == {
        json.loads((tmp_path / "payload" / "manifest.json").read_text())["pip"]
    }
    for target in pinned.targets(product.pythons):
        fitting = set(target.tags())
        for pin in filter(target.wants, pins):
            served = [
                name
                for name, digest in wheels.items()
                if digest in pin.hashes and parse_wheel_filename(name)[3] & fitting
            ]
            assert served, f"{pin.line} has no wheel for {target}"


def test_the_agents_pins_are_those_its_package_asks_for() -> None:
    """The committed pins name every dependency of the package at a version that it allows."""
    project = tomllib.loads((ROOT / "agent" / "pyproject.toml").read_text())["project"]
    pins = {pin.name: pin for pin in requirements(AGENT)}
    wanted = {need.name: need for need in map(Requirement, project["dependencies"])}
    assert set(pins) == set(wanted)
    for name, need in wanted.items():
        assert need.specifier.contains(pins[name].version), (
            f"{name}: refresh agent/requirements.txt"
        )
    assert version("psutil") == pins["psutil"].version, "tested with another than is shipped"
    assert pinned.Target("x86_64", "3.9").wants(pins["tomli"])
    assert not pinned.Target("x86_64", "3.11").wants(pins["tomli"])


@pytest.mark.parametrize(
    "text", ["flask>=3 --hash=sha256:" + "0" * 64, "flask==3.1.3"], ids=["unpinned", "unhashed"]
)
def test_a_requirement_without_version_or_hash_is_refused(text: str) -> None:
    """What could not be verified on a host does not get into a payload."""
    with pytest.raises(ValueError, match="is not pinned"):
        pinned.parse(text)


def test_a_cached_wheel_with_a_foreign_hash_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tampered cache costs a download, never a wrong wheel; without an index it is an error."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    (psutil,) = (pin for pin in requirements(AGENT) if pin.name == "psutil")
    target = pinned.Target("x86_64", "3.9")
    (good,) = Wheelhouse(WHEELS).collect([psutil], [target])[psutil]
    shutil.copyfile(good, tmp_path / good.name)
    assert Wheelhouse(tmp_path).collect([psutil], [target])[psutil] == {tmp_path / good.name}
    with (tmp_path / good.name).open("ab") as file:
        file.write(b"tampered")
    with pytest.raises(PayloadError, match="Run once with a network"):
        Wheelhouse(tmp_path).collect([psutil], [target])
