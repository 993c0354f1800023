"""The program of the stand-in, with those of Grafana's commands that hostpulse uses.

grafana --version
grafana server --homepath=DIR --config=FILE [cfg:SECTION.KEY=VALUE …]
grafana cli --homepath DIR --config FILE admin reset-admin-password --password-from-stdin
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from tests.servers.grafana_api import accounts
from tests.servers.grafana_api.file_checks import FileError
from tests.servers.grafana_api.provisioning import Provisioning
from tests.servers.grafana_api.server import VERSION, Server
from tests.servers.grafana_api.settings import Settings, SettingsError
from tests.servers.grafana_api.state import State


def main(arguments: list[str]) -> int:
    """Run a command; return its exit status."""
    if arguments in (["--version"], ["-v"]):
        sys.stdout.write(f"grafana version {VERSION}\n")
        return 0
    parser = argparse.ArgumentParser(prog="grafana")
    parser.add_argument("command", choices=("server", "cli"))
    parser.add_argument("--homepath", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--password-from-stdin", action="store_true")
    parser.add_argument("rest", nargs="*")
    given = parser.parse_intermixed_args(arguments)
    overrides = given.rest if given.command == "server" else ()
    try:
        settings = Settings(given.homepath, given.config, overrides)
        if given.command == "server":
            serve(settings)
        elif given.rest == ["admin", "reset-admin-password"] and given.password_from_stdin:
            reset(settings, sys.stdin.readline().rstrip("\n"))
        else:
            parser.error("cli: admin reset-admin-password --password-from-stdin")
    except (SettingsError, FileError) as fault:
        sys.stderr.write(f"grafana: {fault}\n")
        return 1
    return 0


def opened(settings: Settings) -> State:
    """Open the database; one that is new gets its administrator."""
    path = settings.database()
    path.parent.mkdir(parents=True, exist_ok=True)
    state = State(path)
    if not state.all("user"):
        login = settings.text("security", "admin_user")
        password = settings.text("security", "admin_password")
        accounts.make_user(
            state, login, password, role="Admin", admin=True, email=f"{login}@localhost"
        )
    return state


def reset(settings: Settings, password: str) -> None:
    """Set the password of the first user."""
    if len(password) < accounts.SHORTEST_PASSWORD:
        raise SettingsError("the new password is too short")
    state = opened(settings)
    accounts.set_password(state, state.all("user")[0], password)
    state.close()
    sys.stdout.write("Admin password changed successfully\n")


def serve(settings: Settings) -> None:
    """Serve until a signal to end."""
    settings.text("security", "secret_key")
    state = opened(settings)
    provisioning = Provisioning(settings.path("provisioning"), state)
    server = Server(settings, state, provisioning)
    provisioning.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    ready()
    server.serve_forever(poll_interval=0.1)
    provisioning.stop()


def ready() -> None:
    """Say to systemd that requests are taken, where it waits for that."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(b"READY=1", address.replace("@", "\0", 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
