#!/usr/bin/env python3
"""Start and stop local Debian hosts that run systemd, for the demo and the molecule scenarios.

A host is a podman container made from a root filesystem of ours (image.sh). Hosts live in groups;
a group has a network of its own in which its hosts find each other by name. Containers and
networks are named hp-CHECKOUT-GROUP-HOST, where CHECKOUT is a hash of this checkout's path: two
checkouts on one machine never meet, and what a former run left behind is found again.

Only the standard library is used, so that any Python 3.9 runs it.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PODMAN = CHECKOUT / "scripts" / "podman"
RECIPE = HERE / "image.sh"
REPOSITORY = "localhost/hostpulse-host"
SUITES = ("bullseye", "bookworm", "trixie")
PREFIX = "hp-" + hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:8]
START_DEADLINE_S = 60.0
# As on a machine: credentials reach a unit over a mount that must propagate from where it is made.
INIT = ("/bin/sh", "-c", "mount --make-rshared / && exec /lib/systemd/systemd")
# Where scripts/podman looks a running host up without asking podman.
RUNNING = Path("/run/hostpulse-hosts")
FIRST_PORT, LAST_PORT = 20000, 30000


class HostsError(Exception):
    """A host or an image could not be made; the message says why and what to do."""


class Host(NamedTuple):
    """A host to start: its name, its Debian release and the port of it to publish, if any."""

    name: str
    suite: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Host:
        """Read NAME=SUITE or NAME=SUITE:PORT."""
        name, _, rest = text.partition("=")
        suite, _, port = rest.partition(":")
        if not name or suite not in SUITES:
            raise HostsError(f"{text}: write NAME=SUITE[:PORT], SUITE one of {', '.join(SUITES)}")
        return cls(name, suite, int(port) if port else None)


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman with this project's settings and return its output."""
    done = subprocess.run([str(PODMAN), *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise HostsError(f"podman {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def container(group: str, name: str) -> str:
    """Return the container's name of one host; without underscores, as it is a DNS name too."""
    return f"{PREFIX}-{group}-{name}".replace("_", "-")


def say(text: str) -> None:
    """Show progress on standard error, so that standard output stays for results."""
    print(text, file=sys.stderr, flush=True)


# images


def image_of(suite: str) -> str:
    """Return the image of a Debian release, tagged by the content of its recipe."""
    return f"{REPOSITORY}:{suite}-{hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:12]}"


def build(suite: str) -> bool:
    """Build the image of one release unless it exists; return whether it had to be built."""
    image = image_of(suite)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hostpulse"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"image-{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if podman("image", "exists", image, check=False).returncode == 0:
            return False
        say(f"image {suite}: building (about a minute, once)")
        begin = time.monotonic()
        log = cache / f"image-{suite}.log"
        with log.open("w") as output:
            rootfs = subprocess.Popen([str(RECIPE), suite], stdout=subprocess.PIPE, stderr=output)
            imported = subprocess.run(
                [str(PODMAN), "import", "--quiet", "-", image],
                stdin=rootfs.stdout,
                stdout=output,
                stderr=output,
                check=False,
            )
            if rootfs.stdout:
                rootfs.stdout.close()
            if rootfs.wait() or imported.returncode:
                podman("rmi", "--force", image, check=False)
                tail = "\n".join(log.read_text().splitlines()[-5:])
                raise HostsError(f"image {suite} could not be built, see {log}:\n{tail}")
        say(f"image {suite}: built in {time.monotonic() - begin:.0f} s")
    return True


def images(suites: Sequence[str]) -> None:
    """Build the missing images, each release in a process of its own at the same time."""
    children = [
        subprocess.Popen([sys.executable, __file__, "images", suite]) for suite in suites[1:]
    ]
    if suites:
        build(suites[0])
    if sum(child.wait() for child in children):
        raise HostsError("an image could not be built, see above")


# hosts


def stable_port(seed: str) -> int:
    """Return a free port of the loopback interface, the same for one seed as long as it is free."""
    span = LAST_PORT - FIRST_PORT
    start = int(hashlib.sha256(seed.encode()).hexdigest(), 16) % span
    for step in range(span):
        port = FIRST_PORT + (start + step) % span
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise HostsError(f"no free port between {FIRST_PORT} and {LAST_PORT} on 127.0.0.1")


def start(group: str, host: Host) -> bool:
    """Have one host run, made anew when its image changed; return whether anything changed."""
    name, image = container(group, host.name), image_of(host.suite)
    found = podman("inspect", "--format", "{{.ImageName}} {{.State.Running}}", name, check=False)
    if found.returncode == 0:
        built_from, running = found.stdout.split()
        if built_from == image and running == "true":
            return False
        if built_from == image and podman("start", name, check=False).returncode == 0:
            return True
        podman("rm", "--force", "--time", "0", name)
    RUNNING.mkdir(mode=0o755, exist_ok=True)
    (RUNNING / f"{name}.cid").unlink(missing_ok=True)
    publish = []
    if host.port:
        publish = ["--publish", f"127.0.0.1:{stable_port(name)}:{host.port}"]
    podman(
        *("run", "--detach", "--name", name, "--hostname", host.name),
        *("--pidfile", str(RUNNING / f"{name}.pid"), "--cidfile", str(RUNNING / f"{name}.cid")),
        *("--network", container(group, "net"), "--network-alias", host.name),
        *("--label", f"hostpulse.checkout={PREFIX}", "--label", f"hostpulse.group={group}"),
        # Unprivileged, hardened units fail with 226/NAMESPACE.
        *("--privileged", "--systemd=always", "--stop-timeout", "5", *publish),
        *(image, *INIT),
    )
    return True


def wait_for_systemd(group: str, host: Host) -> None:
    """Return once every unit of the host's start has been started."""
    name, state = container(group, host.name), ""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        asked = podman("exec", name, "systemctl", "is-system-running", check=False)
        state = asked.stdout.strip()
        if state in ("running", "degraded"):
            return
        time.sleep(0.2)
    logs = podman("logs", "--tail", "20", name, check=False)
    raise HostsError(
        f"{host.name}: systemd is {state or 'not answering'} after {START_DEADLINE_S:.0f} s\n"
        f"{logs.stdout}{logs.stderr}"
    )


def up(group: str, hosts: Sequence[Host]) -> bool:
    """Have a group's hosts run and be ready; return whether anything changed."""
    images(sorted({host.suite for host in hosts}))
    network = container(group, "net")
    if podman("network", "exists", network, check=False).returncode:
        podman("network", "create", network)
    changed = [start(group, host) for host in hosts]
    for host in hosts:
        wait_for_systemd(group, host)
    return any(changed)


def down(group: str | None) -> None:
    """Remove a group's containers and network, or those of the whole checkout."""
    labels = ["--filter", f"label=hostpulse.checkout={PREFIX}"]
    if group:
        labels += ["--filter", f"label=hostpulse.group={group}"]
    found = podman("ps", "--all", "--quiet", *labels).stdout.split()
    if found:
        podman("rm", "--force", "--time", "0", "--volumes", *found)
    for known in RUNNING.glob(f"{container(group, '') if group else f'{PREFIX}-'}*"):
        known.unlink(missing_ok=True)
    wanted = container(group, "net") if group else f"{PREFIX}-"
    for network in podman("network", "ls", "--format", "{{.Name}}").stdout.split():
        if network == wanted or (not group and network.startswith(wanted)):
            podman("network", "rm", "--force", network)


def clean() -> None:
    """Remove every host of this checkout and every image of ours that no other host uses."""
    down(None)
    listed = podman("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    for image in listed:
        if image.startswith(f"{REPOSITORY}:"):
            podman("rmi", image, check=False)


def listing(group: str | None) -> list[dict[str, str]]:
    """Return the hosts of a group or of the checkout with their state and published port."""
    filters = ["--filter", f"label=hostpulse.checkout={PREFIX}"]
    if group:
        filters += ["--filter", f"label=hostpulse.group={group}"]
    found = json.loads(podman("ps", "--all", "--format", "json", *filters).stdout or "[]")
    return [
        {
            "container": item["Names"][0],
            "group": item["Labels"]["hostpulse.group"],
            "state": item["State"],
            "port": str(item["Ports"][0]["host_port"]) if item.get("Ports") else "",
        }
        for item in found
    ]


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    root = argparse.ArgumentParser(prog="hosts.py", description=(__doc__ or "").split("\n\n")[0])
    commands = root.add_subparsers(dest="command", required=True)
    made = commands.add_parser("images", help="build the images that are missing")
    made.add_argument("suites", nargs="+", choices=SUITES)
    started = commands.add_parser("up", help="start the hosts of a group and wait for systemd")
    started.add_argument("group")
    started.add_argument("hosts", nargs="+", metavar="NAME=SUITE[:PORT]")
    stopped = commands.add_parser("down", help="remove the hosts and the network of a group")
    stopped.add_argument("group", nargs="?", help="default: every group of this checkout")
    commands.add_parser("clean", help="remove every host of this checkout, and unused images")
    listed = commands.add_parser("list", help="show the hosts as JSON")
    listed.add_argument("group", nargs="?")
    executed = commands.add_parser("exec", help="run a command on a host")
    executed.add_argument("group")
    executed.add_argument("name")
    executed.add_argument("argv", nargs=argparse.REMAINDER)
    return root


def main() -> int:
    """Run one command; exit code 1 with a message when it fails."""
    given = parser().parse_args()
    try:
        if given.command == "images":
            images(given.suites)
        elif given.command == "up":
            changed = up(given.group, [Host.parse(text) for text in given.hosts])
            print("changed" if changed else "unchanged")
        elif given.command == "down":
            down(given.group)
        elif given.command == "clean":
            clean()
        elif given.command == "list":
            print(json.dumps(listing(given.group), indent=2))
        else:
            name = container(given.group, given.name)
            return subprocess.run([str(PODMAN), "exec", name, *given.argv], check=False).returncode
    except (HostsError, OSError) as error:
        say(f"hosts.py: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
