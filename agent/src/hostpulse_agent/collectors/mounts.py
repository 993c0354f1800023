"""The mounts that hold a filesystem's space, from ``/proc/self/mountinfo``, each device once."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_agent.collectors.procfs import tag_value

if TYPE_CHECKING:
    from collections.abc import Iterable

_ESCAPE = re.compile(rb"\\([0-7]{3})")
# statvfs on an automount point would trigger the mount.
_NEVER = frozenset({"autofs"})


class Mount(NamedTuple):
    """A mount; ``device`` is its source, ``number`` major:minor, ``read_only`` the superblock's."""

    number: bytes
    parent: bytes
    identity: bytes
    root: bytes
    path: str
    tag: str
    kind: str
    device: str
    read_only: bool


def parse(data: bytes) -> list[Mount]:
    """Parse mountinfo, see proc_pid_mountinfo(5); lines that are not whole are left out."""
    mounts = []
    for line in data.split(b"\n"):
        left, dash, right = line.partition(b" - ")
        head, tail = left.split(b" "), right.split(b" ")
        if not dash or len(head) < 6 or len(tail) < 3:  # noqa: PLR2004 -- the fixed columns
            continue
        point = _unescape(head[4])
        mounts.append(
            Mount(
                number=head[2],
                parent=head[1],
                identity=head[0],
                root=_unescape(head[3]),
                path=os.fsdecode(point),
                tag=tag_value(point),
                kind=tag_value(tail[0]),
                device=tag_value(_unescape(tail[1])),
                # The mount's own options say what a sandbox sees; the superblock's what is.
                read_only=tail[2].split(b",", 1)[0] == b"ro",
            )
        )
    return mounts


def choose(
    mounts: Iterable[Mount], exclude_kinds: Iterable[str], exclude_paths: Iterable[str]
) -> list[Mount]:
    """Return the mounts worth measuring: not excluded, not hidden, each device once.

    ``exclude_paths`` are regular expressions. Of several mounts of one device the one of its
    root wins, then the shortest path: a bind mount counts once.
    """
    kinds = _NEVER.union(exclude_kinds)
    patterns = [re.compile(pattern) for pattern in exclude_paths]
    kept = [
        mount
        for mount in mounts
        if mount.kind not in kinds and not any(p.search(mount.path) for p in patterns)
    ]
    best: dict[bytes, Mount] = {}
    for mount in _visible(kept):
        rival = best.get(mount.number)
        if rival is None or _rank(mount) < _rank(rival):
            best[mount.number] = mount
    return sorted(best.values(), key=lambda mount: mount.path)


def _visible(mounts: list[Mount]) -> list[Mount]:
    """Leave out mounts that a later mount on the same or a higher directory covers."""
    parents = {mount.identity: mount.parent for mount in mounts}

    def below(identity: bytes, ancestor: bytes) -> bool:
        for _ in range(len(parents)):
            identity = parents.get(identity, b"")
            if identity == ancestor:
                return True
        return False

    def covers(upper: Mount, lower: Mount) -> bool:
        top = upper.path.rstrip("/")
        return (lower.path == upper.path or lower.path.startswith(top + "/")) and not below(
            lower.identity, upper.identity
        )

    return [
        mount
        for index, mount in enumerate(mounts)
        if not any(covers(later, mount) for later in mounts[index + 1 :])
    ]


def _rank(mount: Mount) -> tuple[bool, int, str]:
    return (mount.root != b"/", len(mount.path), mount.path)


def _unescape(raw: bytes) -> bytes:
    if b"\\" not in raw:
        return raw
    return _ESCAPE.sub(lambda match: bytes([int(match.group(1), 8) & 0xFF]), raw)
