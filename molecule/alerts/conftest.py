"""What people have in the scenario: a chat, a mailbox and a browser; and what the server says."""

from __future__ import annotations

import email
import email.policy
import importlib.util
import json
import re
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import hosts
import pytest
from reader import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from email.message import EmailMessage

    from testinfra.host import Host

    Until = Callable[[Callable[[], object], float], None]

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = "/opt/people"
LINK = re.compile(r"https://monitor:8443/act/[\w.-]+")
# what the mail server needs besides the standard library, all of it plain Python
PACKAGES = ("aiosmtpd", "attr", "attrs", "public")
SERVERS = {"slack_receiver": 8500, "mail_server": 2525}


@dataclass(frozen=True)
class Told:
    """One message as both channels delivered it."""

    slack: dict[str, Any]
    mail: EmailMessage

    @property
    def blocks(self) -> str:
        """What is read in Slack: a line a line, items of lists with a dot before them."""
        return "\n".join(_read(block) for block in self.slack["blocks"])

    @property
    def text(self) -> str:
        """The text of the mail."""
        body = self.mail.get_body(("plain",))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")

    @property
    def links(self) -> tuple[str, str]:
        """The links to acknowledge by, of Slack and of the mail."""
        return LINK.findall(self.slack["text"])[0], LINK.findall(self.text)[0]


def _read(block: dict[str, Any]) -> str:
    if isinstance(block.get("text"), dict):
        return str(block["text"]["text"])
    if block.get("type") == "rich_text_list":
        return "\n".join(f"• {_read(item)}" for item in block["elements"])
    if "elements" not in block:
        return str(block["text"])
    between = "\n" if block["type"] == "rich_text" else ""
    return between.join(_read(element) for element in block["elements"])


class People:
    """Read what has arrived on host post."""

    def __init__(self, post: Host, until: Until) -> None:
        self._post = post
        self._until = until

    def arrived(self) -> tuple[list[dict[str, Any]], list[EmailMessage]]:
        """Return all of Slack's payloads and all mail, in the order in which they came."""
        posts = [one["payload"] for one in self._lines("slack_receiver")]
        mails = [
            email.message_from_string(one["content"], policy=email.policy.default)
            for one in self._lines("mail_server")
        ]
        return posts, mails

    def await_told(self, number: int, seconds: float) -> Told:
        """Return the message of this number, from 1, once both channels have it."""
        self._until(lambda: min(map(len, self.arrived())) >= number, seconds)
        posts, mails = self.arrived()
        return Told(posts[number - 1], mails[number - 1])

    def _lines(self, server: str) -> Sequence[dict[str, Any]]:
        output = self._post.run(f"cat {HOME}/{server}.jsonl")
        return [json.loads(line) for line in output.stdout.splitlines()]


@pytest.fixture(scope="session")
def monitor(host_of: Callable[[str], Host]) -> Host:
    """Return the server's host."""
    return host_of("monitor")


@pytest.fixture(scope="session")
def people(
    host_of: Callable[[str], Host],
    scenario: str,
    until: Until,
    tmp_path_factory: pytest.TempPathFactory,
) -> People:
    """Start what people receive messages with, and return what reads it."""
    post, folder = host_of("post"), tmp_path_factory.mktemp("people")
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        ignored = shutil.ignore_patterns("tests", "__pycache__")
        shutil.copytree(Path(found.origin).parent, folder / name, ignore=ignored)
    for name in SERVERS:
        shutil.copy(CHECKOUT / "tests" / "support" / f"{name}.py", folder)
    into = f"{hosts.container(scenario, 'post')}:{HOME}"
    subprocess.run([hosts.PODMAN, "cp", f"{folder}/.", into], check=True)
    for name, port in SERVERS.items():
        post.check_output(
            f"systemd-run --unit={name} python3 {HOME}/{name}.py --host 0.0.0.0 --port {port}"
            f" --record {HOME}/{name}.jsonl"
        )
    for port in SERVERS.values():
        until(lambda port=port: post.run(f"ss -Hltn sport = :{port}").stdout, 15)
    return People(post, until)


@pytest.fixture(scope="session")
def browser(
    monitor: Host, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[int, str]]:
    """Return a function that opens a link, or sends the form of its page where one is given."""
    authority = tmp_path_factory.mktemp("browser") / "ca.pem"
    authority.write_text(monitor.file("/etc/hostpulse/ca/ca.pem").content_string)
    context = ssl.create_default_context(cafile=str(authority))
    address = str(monitor.check_output("hostname -I")).split()[0]

    def fetch(url: str, **form: str) -> tuple[int, str]:
        parts = urlsplit(url)
        connection = Connection(str(parts.hostname), (address, parts.port or 443), context)
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        connection.request("POST" if form else "GET", parts.path, urlencode(form) or None, kind)
        answer = connection.getresponse()
        page = answer.read().decode()
        connection.close()
        return answer.status, page

    return fetch


@pytest.fixture(scope="session")
def alerts(monitor: Host) -> Callable[..., Any]:
    """Return a function that gives the JSON of ``hostpulse-server alerts …``."""

    def ask(*words: str) -> Any:
        command = f"hostpulse-server alerts {' '.join(words)} --json"
        return json.loads(monitor.check_output(command))

    return ask
