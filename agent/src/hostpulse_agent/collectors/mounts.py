"""The mounts that hold a filesystem's space, from ``/proc/self/mountinfo``, each device once."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_agent.collectors.procfs import tag_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_ESCAPE = re.compile(rb"\\([0-7]{3})")
# statvfs on an automount point would trigger the mount.
_NEVER = frozenset({"autofs"})
_LAYERED = frozenset({"overlay", "aufs", "fuse.fuse-overlayfs"})


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
    mounts: Sequence[Mount],
    exclude_kinds: Iterable[str],
    exclude_paths: Iterable[str],
    files: Collection[str] = (),
) -> list[Mount]:
    """Return the mounts worth measuring: seen, not excluded, each device once.

    ``exclude_paths`` are regular expressions; ``files`` are mount points that are no directory. Of
    several mounts of one device the one of its root wins, then the shortest path: a bind mount
    counts once. An overlay has no space of its own, and belongs to a container, unless it is
    the host's root.
    """
    kinds = _NEVER.union(exclude_kinds)
    patterns = [re.compile(pattern) for pattern in exclude_paths]
    best: dict[bytes, Mount] = {}
    # what is excluded may still cover what is not
    for mount in _visible(mounts):
        if mount.kind in kinds or mount.path in files or _is_layered(mount):
            continue
        if any(pattern.search(mount.path) for pattern in patterns):
            continue
        rival = best.get(mount.number)
        if rival is None or _rank(mount) < _rank(rival):
            best[mount.number] = mount
    return sorted(best.values(), key=lambda mount: mount.path)


def _is_layered(mount: Mount) -> bool:
    return mount.kind in _LAYERED and mount.path != "/"


def _visible(mounts: Sequence[Mount]) -> list[Mount]:
    """Leave out mounts that another on the same or a higher directory covers.

    Only a mount's parent says where it is mounted: what was there first has the parent that the
    one on top has, or is its parent.
    """
    by_identity = {mount.identity: mount for mount in mounts}
    below: dict[bytes, set[str]] = {}
    for mount in mounts:
        if mount.identity != mount.parent:
            below.setdefault(mount.parent, set()).add(mount.path)
    reached: dict[bytes, bool] = {}

    def is_reached(mount: Mount) -> bool:
        """Return whether no mount of the same parent lies over a directory on its path."""
        chain: list[Mount] = []
        while mount.identity not in reached and mount.identity not in {m.identity for m in chain}:
            chain.append(mount)
            parent = by_identity.get(mount.parent)
            if parent is None:
                break
            mount = parent
        for one in reversed(chain):
            parent = by_identity.get(one.parent)
            is_parent_reached = parent is None or parent is one or reached.get(one.parent, True)
            others = below.get(one.parent, set())
            is_covered = any(path in others for path in _above(one.path))
            reached[one.identity] = is_parent_reached and not is_covered
        return reached[chain[0].identity] if chain else reached[mount.identity]

    last = {(mount.parent, mount.path): mount.identity for mount in mounts}
    return [
        mount
        for mount in mounts
        if is_reached(mount)
        and mount.path not in below.get(mount.identity, ())
        and last[mount.parent, mount.path] == mount.identity
    ]


def _above(path: str) -> Iterator[str]:
    """Yield the directories above a path, up to the root."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def _rank(mount: Mount) -> tuple[bool, int, str]:
    return (mount.root != b"/", len(mount.path), mount.path)


def _unescape(raw: bytes) -> bytes:
    if b"\\" not in raw:
        return raw
    return _ESCAPE.sub(lambda match: bytes([int(match.group(1), 8) & 0xFF]), raw)
