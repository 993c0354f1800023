"""Pinned requirements: reading them, and which of them one target interpreter needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
MACHINES = ("x86_64", "aarch64")

# Oldest C library first supported: Debian 11 has glibc 2.31, RHEL 8 has 2.28. Best first, because
# the order decides between two wheels of one release that both fit.
GLIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux_2_5")


@dataclass(frozen=True)
class Pin:
    """One ``name==version`` with its marker and the SHA-256 of every file that may serve it."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]

    @property
    def line(self) -> str:
        """Return the requirement without hashes."""
        return f"{self.name}=={self.version}" + (f" ; {self.marker}" if self.marker else "")


@dataclass(frozen=True, order=True)
class Target:
    """A machine and a CPython minor version that a payload has to serve."""

    machine: str
    python: str

    @property
    def platforms(self) -> list[str]:
        """Return the platform tags that run there, best first."""
        return [f"{glibc}_{self.machine}" for glibc in GLIBC]

    def tags(self) -> Iterator[Tag]:
        """Yield every wheel tag that installs there, best first."""
        major, minor = (int(part) for part in self.python.split("."))
        yield from cpython_tags((major, minor), platforms=self.platforms)
        yield from compatible_tags((major, minor), f"cp{major}{minor}", self.platforms)

    def wants(self, pin: Pin) -> bool:
        """Tell whether the pin's marker holds there.

        Evaluated here, because pip evaluates markers for the Python it runs under even when it
        downloads for another.
        """
        marker = Requirement(pin.line).marker
        return marker is None or marker.evaluate(
            {
                "implementation_name": "cpython",
                "os_name": "posix",
                "platform_machine": self.machine,
                "platform_python_implementation": "CPython",
                "platform_system": "Linux",
                "python_full_version": f"{self.python}.0",
                "python_version": self.python,
                "sys_platform": "linux",
            },
        )


def targets(pythons: tuple[str, ...]) -> list[Target]:
    """Return every machine with each of the Python versions."""
    return [Target(machine, python) for machine in MACHINES for python in pythons]


def parse(text: str) -> list[Pin]:
    """Read a requirements file of ``name==version ; marker --hash=…`` entries.

    Raises ``ValueError`` for an entry that is not pinned to one version or has no hash: such a
    wheel could not be verified on a host.
    """
    pins = []
    for entry in re.sub(r"\\\n", " ", text).splitlines():
        statement = re.sub(r"(^|\s)#.*", "", entry).strip()
        if not statement:
            continue
        hashes = frozenset(HASH.findall(statement))
        requirement = Requirement(HASH.sub("", statement).strip())
        versions = [item.version for item in requirement.specifier if item.operator == "=="]
        if len(versions) != 1 or not hashes:
            message = f"{statement[:60]!r} is not pinned: name==version and --hash=sha256:… wanted"
            raise ValueError(message)
        marker = str(requirement.marker) if requirement.marker else ""
        pins.append(Pin(requirement.name, versions[0], marker, hashes))
    return pins
