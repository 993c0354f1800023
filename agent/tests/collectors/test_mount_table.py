"""Which mounts are measured: each device once, what can be seen, by its own name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent.collectors.mounts import Mount, choose, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.tests.collectors.conftest import Host


def paths(*lines: str, kinds: tuple[str, ...] = (), excluded: tuple[str, ...] = ()) -> list[str]:
    """Return the mount points chosen from lines of mountinfo."""
    return [mount.path for mount in choose(parse("\n".join(lines).encode()), kinds, excluded)]


def recorded(host: Host) -> list[Mount]:
    """Return all mounts of a recorded host."""
    return parse((host.root / "proc/self/mountinfo").read_bytes())


def test_each_device_counts_once_and_excluded_mounts_not_at_all(
    host: Callable[[str], Host],
) -> None:
    """The bind mount of the root's volume, the automounter and the containers are left out."""
    chosen = choose(recorded(host("lvm-host")), ("proc", "sysfs", "tmpfs"), ["^/var/lib/docker/"])
    assert [mount.path for mount in chosen] == ["/", "/boot", "/mnt/old", "/srv/my data"]


def test_read_only_is_what_the_superblock_says(host: Callable[[str], Host]) -> None:
    """/boot is only seen read-only (as by a sandbox); the data volume really is."""
    found = {mount.path: mount.read_only for mount in recorded(host("lvm-host"))}
    assert (found["/boot"], found["/srv/my data"]) == (False, True)


def test_the_mount_on_top_is_the_one_that_counts(host: Callable[[str], Host]) -> None:
    """filer:/new was mounted over filer:/old."""
    found = [mount.device for mount in choose(recorded(host("lvm-host")), (), ())]
    assert "filer:/new" in found
    assert "filer:/old" not in found


def test_subvolumes_of_one_device_count_once(host: Callable[[str], Host]) -> None:
    """They share its space."""
    assert [mount.path for mount in choose(recorded(host("raid-host")), (), ())] == ["/", "/srv"]


def test_a_mount_below_a_directory_that_was_mounted_over_is_hidden() -> None:
    """It has a line still, but its path leads elsewhere; a child of the upper mount has not."""
    lines = (
        "1 0 8:1 / / rw - ext4 /dev/a rw",
        "2 1 8:2 / /mnt/low rw - ext4 /dev/b rw",
        "3 1 8:3 / /mnt rw - ext4 /dev/c rw",
        "4 3 8:4 / /mnt/top rw - ext4 /dev/d rw",
    )
    assert paths(*lines) == ["/", "/mnt", "/mnt/top"]


def test_a_mount_moved_below_a_later_one_is_not_hidden() -> None:
    """The order of lines is the order of making; only a mount's parent says where it is mounted."""
    lines = (
        "1 0 8:1 / / rw - ext4 /dev/a rw",
        "2 3 8:2 / /mnt/moved rw - ext4 /dev/b rw",
        "3 1 8:3 / /mnt rw - ext4 /dev/c rw",
    )
    assert paths(*lines) == ["/", "/mnt", "/mnt/moved"]


def test_names_with_spaces_newlines_and_backslashes_come_out_whole() -> None:
    """The kernel writes them as octal numbers."""
    (mount,) = parse(rb"1 0 8:1 / /a\040b\134c\012d rw shared:3 - ext4 /dev/x\040y ro")
    assert mount.path == "/a b\\c\nd"
    assert mount.tag == "/a b\\c?d"
    assert mount.device == "/dev/x y"


@given(st.binary())
def test_no_bytes_make_the_parser_fail(data: bytes) -> None:
    """A torn line is left out."""
    choose(parse(data), (), ())


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_every_path_survives_the_kernels_escaping(text: str) -> None:
    """What the kernel escapes (space, tab, newline, backslash) is undone, the rest kept."""
    raw = ("/" + text).encode("utf-8", "replace")
    escaped = b"".join(b"\\%03o" % c if c in b" \t\n\\" else bytes([c]) for c in raw)
    (mount,) = parse(b"1 0 8:1 / %s rw - ext4 /dev/x rw" % escaped)
    assert mount.path.encode("utf-8", "surrogateescape") == raw


def test_the_mount_of_a_devices_root_is_the_one_that_counts() -> None:
    """Not a bind mount of a part of it, though that was made first and has the shorter path."""
    lines = (
        "2 1 8:2 /part /a rw - ext4 /dev/b rw",
        "3 1 8:2 / /var/lib rw - ext4 /dev/b rw",
        "4 1 8:2 / /var/lib/again rw - ext4 /dev/b rw",
    )
    assert paths(*lines) == ["/var/lib"]
    assert paths(*reversed(lines)) == ["/var/lib"]


def test_a_mount_of_another_kind_over_a_disk_hides_it() -> None:
    """A tmpfs over /data gave its size under the disk's name: what is seen is judged first."""
    lines = (
        "1 0 8:1 / / rw - ext4 /dev/a rw",
        "2 1 8:2 / /data rw - xfs /dev/b rw",
        "3 2 0:41 / /data rw - tmpfs tmpfs rw",
        "4 1 8:3 / /srv rw - xfs /dev/c rw",
    )
    assert paths(*lines, kinds=("tmpfs",)) == ["/", "/srv"]
    assert paths(*lines, kinds=(), excluded=("^/data$",)) == ["/", "/srv"]


def test_overlays_count_only_as_the_root() -> None:
    """Those of containers have no space of their own, wherever an engine keeps them (made up)."""
    lines = (
        "1 0 0:30 / / rw - overlay overlay rw,lowerdir=/l",
        "2 1 8:2 / /data rw - xfs /dev/b rw",
        "3 2 0:31 / /data/engine/overlay2/abc/merged rw - overlay overlay rw",
        "4 1 0:32 / /run/containerd/runtime.v2.task/k8s.io/a/rootfs rw - overlay o rw",
    )
    assert paths(*lines) == ["/", "/data"]


def test_a_file_that_is_mounted_is_no_mount_of_its_device() -> None:
    """Its path may be the shortest: the device counts at the directory."""
    lines = (
        "1 0 0:30 / / rw - overlay overlay rw",
        "2 1 8:2 /etc/hosts /etc/hosts rw - xfs /dev/b rw",
        "3 1 8:2 /volumes/data /var/lib/data rw - xfs /dev/b rw",
    )
    chosen = choose(parse("\n".join(lines).encode()), (), (), files={"/etc/hosts"})
    assert [mount.path for mount in chosen] == ["/", "/var/lib/data"]


def test_thousands_of_mounts_are_all_found() -> None:
    """Each with one below it."""
    lines = ["1 0 8:1 / / rw - ext4 /dev/a rw"]
    lines += [f"{n} 1 0:{n} / /m/{n} rw - nfs4 filer:/{n} rw" for n in range(2, 2002)]
    lines += [f"{n + 2000} {n} 1:{n} / /m/{n}/x rw - nfs4 filer:/x{n} rw" for n in range(2, 2002)]
    assert len(paths(*lines)) == 4001
