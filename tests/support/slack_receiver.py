"""A receiver that takes messages as Slack's incoming webhooks do; also runs alone, stdlib only.

It keeps what is posted, refuses what Slack refuses, and answers by a script where it is given one.

    python3 slack_receiver.py --port 8500 --record posts.jsonl --answers 429:2,404:no_service

    POST /any/other/path     a message
    GET /_posts              what was posted, as JSON, each with its time, path and answer
    DELETE /_posts           forget it
    POST /_answers           a JSON list of answers for the next posts: {"status", "body",
                             "headers", "delay", "hold"}
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

_MAX_BLOCKS = 50
_LIMITS = {"plain_text": 3000, "mrkdwn": 3000, "header": 150, "text": 3000, "link": 3000}
_BLOCKS = {"header", "section", "context", "divider", "rich_text", "actions"}


@dataclass(frozen=True)
class Answer:
    """What a post is answered: ``delay`` seconds later; ``hold`` keeps the connection open."""

    status: int = 200
    body: str = "ok"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hold: bool = False


@dataclass(frozen=True)
class Post:
    """One message as it came; ``payload`` is ``None`` where the body is no JSON."""

    at_ms: int
    path: str
    headers: dict[str, str]
    payload: Any
    answered: int


class SlackReceiver:
    """Takes posts on a free port of the loopback until it is closed."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        context: ssl.SSLContext | None = None,
        record: str = "",
    ) -> None:
        self.posts: list[Post] = []
        self.answers: deque[Answer] = deque()
        self._record = record
        self._arrived = threading.Condition()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = int(self._server.server_address[1])
        self.url = (
            f"{'https' if context else 'http'}://{host}:{self.port}/services/T0/B0/SECRET-xyz"
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def await_posts(self, count: int, seconds: float = 10.0) -> list[Post]:
        """Return all posts once there are ``count`` of them."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.posts) >= count, seconds):
                raise AssertionError(f"{len(self.posts)} posts of {count} within {seconds:g} s")
            return list(self.posts)

    def close(self) -> None:
        """Stop, letting go of what is held."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        """Return itself, running."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.close()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Note a post and return its answer: as scripted, else as Slack answers."""
        try:
            payload: Any = json.loads(body)
        except ValueError:
            payload = None
        with self._arrived:
            answer = self.answers.popleft() if self.answers else judge(payload)
            post = Post(time.time_ns() // 1_000_000, path, headers, payload, answer.status)
            self.posts.append(post)
            if self._record:
                with open(self._record, "a", encoding="utf-8") as file:  # noqa: PTH123 - one line
                    file.write(json.dumps(asdict(post)) + "\n")
            self._arrived.notify_all()
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                if self.path == "/_answers":
                    receiver.answers.extend(Answer(**one) for one in json.loads(body))
                    self.reply(Answer(200))
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.reply(receiver.take(self.path, headers, body))

            def do_GET(self) -> None:
                known = self.path == "/_posts"
                posts = json.dumps([asdict(post) for post in receiver.posts])
                self.reply(Answer(200, posts) if known else Answer(404, "no_service"))

            def do_DELETE(self) -> None:
                receiver.posts.clear()
                self.reply(Answer(200))

            def reply(self, answer: Answer) -> None:
                receiver._closing.wait(answer.delay)
                if answer.hold:
                    receiver._closing.wait(60)
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = answer.body.encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_args: Any) -> None:
                pass

        return Handler


def judge(payload: Any) -> Answer:
    """Return what Slack answers: 400 with a word for what it cannot take."""
    if not isinstance(payload, dict):
        return Answer(400, "invalid_payload")
    if not payload.get("text") and not payload.get("blocks"):
        return Answer(400, "no_text")
    return Answer(400, "invalid_blocks") if faults(payload.get("blocks", [])) else Answer()


def faults(blocks: Any) -> list[str]:
    """Return how blocks go beyond Slack's limits."""
    if not isinstance(blocks, list) or len(blocks) > _MAX_BLOCKS:
        return ["not a list of at most 50 blocks"]
    found = [f"unknown block {one.get('type')}" for one in blocks if one.get("type") not in _BLOCKS]
    for block in blocks:
        if not any(block.get(key) for key in ("text", "fields", "elements")):
            found.append(f"an empty {block.get('type')}")
        for element in _texts(block):
            kind, text = element["type"], element["text"]
            limit = _LIMITS["header" if block["type"] == "header" else kind]
            if not 0 < len(text) <= limit:
                found.append(f"{len(text)} characters in a {kind} of a {block['type']}")
    return found


def _texts(item: Any) -> list[dict[str, Any]]:
    """Return all objects that have a type and a text, at any depth."""
    if isinstance(item, list):
        return [text for one in item for text in _texts(one)]
    if not isinstance(item, dict):
        return []
    own = [item] if isinstance(item.get("text"), str) and "type" in item else []
    return own + [text for one in item.values() for text in _texts(one)]


def _answer(text: str) -> Answer:
    """Read ``STATUS``, ``429:SECONDS``, ``301:LOCATION`` or ``STATUS:BODY``."""
    status, _, more = text.partition(":")
    if status in ("429", "503") and more:
        return Answer(int(status), "rate_limited", {"Retry-After": more})
    if status.startswith("3") and more:
        return Answer(int(status), "", {"Location": more})
    return Answer(int(status), more or "ok")


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description="Take Slack messages.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--record", default="", help="a file for what is posted, a JSON a line")
    parser.add_argument("--answers", default="", help="the first answers, as 429:2,404:no_service")
    parser.add_argument("--certificate", help="PEM with certificate and key: speak TLS")
    given = parser.parse_args()
    context = None
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate)
    receiver = SlackReceiver(given.host, given.port, context, given.record)
    receiver.answers.extend(_answer(one) for one in given.answers.split(",") if one)
    print(receiver.url, flush=True)  # noqa: T201 - who starts it reads the port here
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    receiver.close()


if __name__ == "__main__":
    main()
