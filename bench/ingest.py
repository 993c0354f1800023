"""Ingest rate of the real service beside the same app without a journal, in one run.

``python -m bench.ingest [--seconds 4] [--rounds 3] [--json FILE]``: starts on loopback
``hostpulse-server api``, the same app with a journal that keeps nothing, and, under the same
gunicorn, a bare Flask view that only inflates and parses the body. Loads them in turn with wrk,
``rounds`` times, so that a machine whose speed drifts is as fast for each, and takes medians.
Requests are gzipped as an agent's are: one sample a request, and backlog batches of 100. Exit
status 1 when a bar is missed.

The bare view says what the machine gives: where it answers less than about 2,200 requests/s, the
absolute bars are out of reach for any Flask app on it and the two ratios are what counts.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ingest_sample
from testbed.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

    from hostpulse_server.config import ServerConfig

ROOT = Path(__file__).resolve().parents[1]
HOSTS = 50
CONNECTIONS = {"single": 32, "batch": 8}
BATCH = 100
START_SECONDS = 30.0
PEERS = ("null", "bare")
_PROGRAM = str(Path(sys.executable).with_name("hostpulse-server"))
BARS = {
    "single_per_second": 1200.0,
    "single_p99_ms": 50.0,
    "single_ratio": 0.7,
    "batch_fields_per_second": 500_000.0,
}
LUA = """
local requests, count = {}, 0
function init()
  for number, item in ipairs(items) do
    local file = io.open(item.path, "rb")
    requests[number] = wrk.format("POST", "/api/v1/metrics", {
      ["Content-Type"] = "application/json", ["Content-Encoding"] = "gzip",
      ["Authorization"] = "Bearer " .. item.key, ["Connection"] = "keep-alive"}, file:read("*a"))
    file:close()
  end
end
function request()
  count = count + 1
  return requests[count % #requests + 1]
end
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\\nRESULT {"requests":%d,"microseconds":%d,"p50_ms":%.3f,"p99_ms":%.3f,'
    .. '"max_ms":%.3f,"not_2xx":%d,"broken":%d}\\n', summary.requests, summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000,
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of load a measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_peer(options.serve, options.config)
        return 0
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing; run: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="hostpulse-bench-") as folder:
        figures = measure(Path(folder), options.seconds, options.rounds)
    report(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if all(figures["bars"].values()) else 1


def measure(folder: Path, seconds: int, rounds: int) -> dict[str, Any]:
    """Load all servers with both kinds of request in turn; return all figures."""
    config = prepare(folder)
    keys = register(config)
    scripts = {"single": script(folder, keys, 1), "batch": script(folder, keys, BATCH)}
    runs: dict[str, list[dict[str, Any]]] = {}
    with ExitStack() as stack:
        ports = {"journal": stack.enter_context(serving([_PROGRAM, f"--config={config}", "api"]))}
        for peer in PEERS:
            command = [sys.executable, "-m", "bench.ingest", "--serve", peer, f"--config={config}"]
            ports[peer] = stack.enter_context(serving(command))
        for _ in range(rounds):
            for kind, path in scripts.items():
                for server, port in ports.items():
                    result = load(path, port, seconds, CONNECTIONS[kind])
                    runs.setdefault(f"{server} {kind}", []).append(result)
    # An acknowledged request that is not in the journal would make every figure worthless. The
    # journal may hold more: wrk stops without waiting for the answers of requests under way, as
    # many as it has connections in each of its runs.
    kept = journal_entries(config)
    acknowledged = sum(run["acknowledged"] for kind in scripts for run in runs[f"journal {kind}"])

    def median(name: str, figure: str = "per_second") -> float:
        return statistics.median(float(run[figure]) for run in runs[name])

    def share(peer: str) -> float:
        pairs = zip(runs["journal single"], runs[f"{peer} single"], strict=True)
        return statistics.median(
            float(one["per_second"]) / float(two["per_second"]) for one, two in pairs
        )

    figures = {
        "single_per_second": median("journal single"),
        "single_p99_ms": median("journal single", "p99_ms"),
        "single_ratio": share("null"),
        "batch_fields_per_second": median("journal batch") * BATCH * ingest_sample.FIELDS,
    }
    bars = {
        name: value <= BARS[name] if name.endswith("_ms") else value >= BARS[name]
        for name, value in figures.items()
    }
    bars["every acknowledged request is in the journal"] = kept >= acknowledged
    return {
        **figures,
        "without_journal_per_second": median("null single"),
        "bare_per_second": median("bare single"),
        "bare_ratio": share("bare"),
        "sample_fields": ingest_sample.FIELDS,
        "journal_entries": kept,
        "acknowledged": acknowledged,
        "runs": runs,
        "bars": bars,
    }


def prepare(folder: Path) -> Path:
    """Write a configuration; return its path."""
    (folder / "data").mkdir()
    config = folder / "server.toml"
    config.write_text(
        f'data_dir = "{folder / "data"}"\n'
        '[api]\nrate_limit = "1000000/second"\n'
        '[journal]\nmin_free_bytes = "64MiB"\n'
    )
    return config


def register(config: Path) -> dict[str, str]:
    """Make the state database and the hosts; return server id → key."""
    subprocess.run(
        [_PROGRAM, f"--config={config}", "db", "upgrade"], check=True, stdout=subprocess.DEVNULL
    )
    from hostpulse_server.config import load as load_config  # noqa: PLC0415  # after the arguments
    from hostpulse_server.registry import Registry  # noqa: PLC0415  # as above
    from hostpulse_server.state import open_engine  # noqa: PLC0415  # as above

    engine = open_engine(load_config(config, {}).state.url)
    registry = Registry(engine)
    keys = {}
    for number in range(HOSTS):
        added = registry.add({"id": f"bench-{number}"})
        if added.key is None:  # pragma: no cover - the registry makes one when none is given
            raise RuntimeError("no key was made")
        keys[added.server.id] = added.key.text
    engine.dispose()
    return keys


def script(folder: Path, keys: dict[str, str], size: int) -> Path:
    """Write wrk's script with a request of ``size`` samples for every host."""
    rng = random.Random(7)  # noqa: S311  # made-up figures
    now_ms = time.time_ns() // 1_000_000
    items = []
    for server_id, key in list(keys.items())[: HOSTS if size == 1 else 5]:
        samples = [
            ingest_sample.sample(seq, now_ms - 10_000 * (size - seq), rng) for seq in range(size)
        ]
        envelope = ingest_sample.envelope(server_id, str(uuid.uuid4()), samples)
        body = folder / f"{server_id}-{size}.json.gz"
        body.write_bytes(gzip.compress(json.dumps(envelope, separators=(",", ":")).encode(), 6))
        items.append(f'{{key="{key}", path="{body}"}}')
    path = folder / f"load-{size}.lua"
    path.write_text("items = {" + ",\n".join(items) + "}\n" + LUA)
    path.chmod(0o600)
    return path


@contextmanager
def serving(command: list[str]) -> Iterator[int]:
    """Run a server on a free port, which is given, until the block ends."""
    port = free_port()
    environment = {**os.environ, "HOSTPULSE_API_BIND": f"127.0.0.1:{port}"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, env=environment) as process:
        try:
            await_ready(process, port)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def await_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Poll until the server says that it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(process.communicate()[1].decode())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the server did not become ready")


def load(script_path: Path, port: int, seconds: int, connections: int) -> dict[str, Any]:
    """Send for ``seconds`` and return rates and latencies, after a short warm-up."""
    command = ["wrk", "--latency", "-t1", f"-c{connections}", "-s", str(script_path)]
    url = f"http://127.0.0.1:{port}"
    requests = 0
    for length in (2, seconds):
        done = subprocess.run(
            [*command, f"-d{length}s", url],
            check=True,
            capture_output=True,
            text=True,
            timeout=length + 60,
        )
        line = done.stdout.split("RESULT ", 1)[1]
        result: dict[str, Any] = json.loads(line)
        if result["not_2xx"] or result["broken"]:
            raise RuntimeError(f"not every request was answered 2xx: {result}")
        requests += result["requests"]
    result["per_second"] = result["requests"] / result["microseconds"] * 1e6
    result["acknowledged"] = requests
    return result


def journal_entries(config: Path) -> int:
    """Return how many entries the journal took."""
    from hostpulse_server.config import load as load_config  # noqa: PLC0415  # as above
    from hostpulse_server.journal import open_journal  # noqa: PLC0415  # after the arguments
    from hostpulse_server.runtime.clock import SYSTEM  # noqa: PLC0415  # as above

    journal = open_journal(load_config(config, {}), SYSTEM)
    try:
        return journal.stats().newest_id
    finally:
        journal.close()


def serve_peer(peer: str, config: Path) -> None:
    """Serve the same app with a journal that keeps nothing, or a bare view (``PEERS``)."""
    from hostpulse_server.api.server import serve  # noqa: PLC0415  # as above
    from hostpulse_server.config import load as load_config  # noqa: PLC0415  # as above
    from hostpulse_server.runtime import logs  # noqa: PLC0415  # as above

    logs.setup()
    serve(load_config(config, os.environ), {"null": make_null, "bare": make_bare}[peer])


def make_null(config: ServerConfig) -> Flask:
    """Return the app without a journal."""
    from hostpulse_server.api.app import create_app  # noqa: PLC0415  # as above
    from hostpulse_server.journal import open_journal  # noqa: PLC0415  # as above
    from hostpulse_server.runtime.clock import SYSTEM  # noqa: PLC0415  # as above

    journal = open_journal(config, SYSTEM)
    journal.append = lambda *_args, **_options: 1  # type: ignore[method-assign]
    return create_app(config, journal=journal)


def make_bare(_config: ServerConfig) -> Flask:
    """Return the least that a Flask app can do with a sample: inflate, parse, answer."""
    from flask import Flask, Response, request  # noqa: PLC0415  # as above

    app = Flask(__name__)

    @app.post("/api/v1/metrics")
    def take() -> Response:
        count = len(json.loads(gzip.decompress(request.get_data()))["samples"])
        return Response(json.dumps({"accepted": count}), content_type="application/json")

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    return app


def report(figures: dict[str, Any]) -> None:
    """Print the table."""
    rows = (
        ("one sample a request, durable 2xx/s", "single_per_second", ">="),
        ("  p99, ms", "single_p99_ms", "<="),
        ("  share of the same app without a journal", "single_ratio", ">="),
        ("100 samples a request, field values/s", "batch_fields_per_second", ">="),
    )
    print(f"{'':44}{'measured':>12}  {'bar':>12}")
    for title, name, sign in rows:
        mark = "" if figures["bars"][name] else "  MISSED"
        print(f"{title:44}{figures[name]:>12,.2f}  {sign} {BARS[name]:>9,.1f}{mark}")
    print(
        f"{'  the same app without a journal, 2xx/s':44}"
        f"{figures['without_journal_per_second']:>12,.2f}"
    )
    print(f"{'  a bare view that parses the body, 2xx/s':44}{figures['bare_per_second']:>12,.2f}")
    print(f"{'  durable, share of the bare view':44}{figures['bare_ratio']:>12,.2f}")
    print(
        f"acknowledged {figures['acknowledged']:,}, in the journal {figures['journal_entries']:,} "
        "(which has also those under way when wrk stopped)"
    )


if __name__ == "__main__":
    raise SystemExit(main())
