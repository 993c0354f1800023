"""Space and inodes of every filesystem; a hung mount affects no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_agent.collectors import mounts
from hostpulse_agent.collectors.base import Catalogue, Collector, Field, Point
from hostpulse_agent.collectors.statvfs_client import HUNG, StatResult, StatvfsClient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_agent.collectors.procfs import Tree

CATALOGUE = Catalogue(
    "disk",
    "Filesystems. Device and type are facts of the host; bind mounts count once.",
    {"mount": "mount point (of several for one device: that of its root, then the shortest)"},
    {
        "total_bytes": Field("bytes", "size of the filesystem"),
        "used_bytes": Field("bytes", "in use, as `df`"),
        "available_bytes": Field("bytes", "free for users other than root"),
        "used_percent": Field("percent", "used ÷ (used + available), as `df`", 0, 100),
        "inodes_total": Field("count", "inodes; missing where a filesystem has no fixed number"),
        "inodes_used_percent": Field("percent", "inodes in use", 0, 100),
        "readonly": Field(
            "0 or 1", "1: the filesystem itself, not a view of it, is read-only", 0, 1
        ),
        "hung": Field("0 or 1", "1: it does not answer, and no other field is known", 0, 1),
    },
)
DEADLINE_S = 3.0


class DiskCollector(Collector):
    """Measures every mount that ``mounts.choose`` returns, through the helper process."""

    catalogue = CATALOGUE

    def __init__(
        self,
        tree: Tree,
        statvfs: StatvfsClient,
        exclude_kinds: Iterable[str] = (),
        exclude_paths: Iterable[str] = (),
    ) -> None:
        """Leave out types by name and mount points by regular expression."""
        self._tree = tree
        self._statvfs = statvfs
        self._exclude = (tuple(exclude_kinds), tuple(exclude_paths))
        self._data = b""
        self._mounts: list[mounts.Mount] = []
        self._files: set[str] = set()

    def collect(self, now: float) -> list[Point]:
        """Return one point a filesystem, within ``DEADLINE_S`` seconds."""
        data = self._tree.proc("self/mountinfo", now).data
        if data != self._data:
            self._files.clear()
            self._choose(data)
        answers = self._statvfs.statvfs([mount.path for mount in self._mounts], DEADLINE_S)
        if files := {path for path, answer in answers.items() if is_file(answer)}:
            self._files |= files
            self._choose(data)  # from the next sample on, the device under another of its mounts
        points, ailing = [], []
        for mount in self._mounts:
            if mount.path not in answers:
                continue
            fields = measure(answers[mount.path], read_only=mount.read_only)
            if fields:
                points.append(Point("disk", {"mount": mount.tag}, fields))
            if fields.get("hung") or fields.get("readonly"):
                ailing.append(mount.tag)
        self.names = {"mounts": ailing}
        return points

    def _choose(self, data: bytes) -> None:
        self._data = data
        self._mounts = mounts.choose(mounts.parse(data), *self._exclude, files=self._files)


def is_file(answer: object) -> bool:
    """Return whether a helper's answer is that of a file bound over a file."""
    return isinstance(answer, StatResult) and not answer.directory


def measure(answer: object, *, read_only: bool) -> dict[str, float]:
    """Return the fields for a helper's answer; none for a mount without a filesystem of its own."""
    if answer == HUNG:
        return {"hung": 1}
    fields: dict[str, float] = {"readonly": int(read_only), "hung": 0}
    if not isinstance(answer, StatResult):  # refused, such as a directory others cannot enter
        return fields
    if not answer.directory or not answer.total:  # a file bound over a file; a pseudo filesystem
        return {}
    used = max(0, answer.total - answer.free)
    fields["total_bytes"] = answer.total
    fields["used_bytes"] = used
    fields["available_bytes"] = answer.available
    if used + answer.available > 0:
        fields["used_percent"] = 100 * used / (used + answer.available)
    if answer.inodes > 0:
        fields["inodes_total"] = answer.inodes
        fields["inodes_used_percent"] = (
            100 * max(0, answer.inodes - answer.inodes_free) / answer.inodes
        )
    return fields
