"""Ingest rate of the real service beside the same app without a journal, in one run.

``python -m bench.ingest [--seconds 10] [--json FILE]``: starts ``hostpulse-server api`` on
loopback, loads it with wrk, then does the same with an app whose journal keeps nothing. Both get
one sample a request and backlog batches of 100. Exit status 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ingest_sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask

ROOT = Path(__file__).resolve().parents[1]
HOSTS = 50
CONNECTIONS = 32
BATCH = 100
START_SECONDS = 30.0
BARS = {
    "single_per_second": 1200.0,
    "single_p99_ms": 50.0,
    "single_ratio": 0.7,
    "batch_fields_per_second": 500_000.0,
}
LUA = """
local count = 0
function request()
  count = count + 1
  local item = items[count % #items + 1]
  return wrk.format("POST", "/api/v1/metrics", {
    ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. item.key,
    ["Connection"] = "keep-alive"}, item.body)
end
function done(summary, latency, requests)
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
    parser.add_argument("--seconds", type=int, default=10, help="of load a measurement")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--serve-null", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_null:
        serve_null(options.serve_null)
        return 0
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing; run: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="hostpulse-bench-") as folder:
        figures = measure(Path(folder), options.seconds)
    report(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if all(figures["bars"].values()) else 1


def measure(folder: Path, seconds: int) -> dict[str, Any]:
    """Load both servers with both kinds of request; return all figures."""
    config, port = prepare(folder)
    keys = register(config)
    single, batch = script(folder, keys, 1), script(folder, keys, BATCH)
    command = [
        str(Path(sys.executable).with_name("hostpulse-server")),
        "--config",
        str(config),
        "api",
    ]
    with serving(command, port):
        real = {
            "single": load(single, port, seconds, CONNECTIONS),
            "batch": load(batch, port, seconds, 8),
        }
    # An acknowledged request that is not in the journal would make every figure worthless. The
    # journal may hold more: wrk stops without waiting for the answers of requests under way, as
    # many as it has connections in each of its runs.
    kept = journal_entries(config)
    acknowledged = sum(run["acknowledged"] for run in real.values())
    with serving([sys.executable, "-m", "bench.ingest", "--serve-null", str(config)], port):
        null = {
            "single": load(single, port, seconds, CONNECTIONS),
            "batch": load(batch, port, seconds, 8),
        }
    figures = {
        "single_per_second": real["single"]["per_second"],
        "single_p99_ms": real["single"]["p99_ms"],
        "single_ratio": real["single"]["per_second"] / null["single"]["per_second"],
        "batch_fields_per_second": real["batch"]["per_second"] * BATCH * ingest_sample.FIELDS,
    }
    bars = {
        name: value <= BARS[name] if name.endswith("_ms") else value >= BARS[name]
        for name, value in figures.items()
    }
    bars["every acknowledged request is in the journal"] = kept >= acknowledged
    return {
        **figures,
        "sample_bytes": single.stat().st_size // HOSTS,
        "sample_fields": ingest_sample.FIELDS,
        "journal_entries": kept,
        "acknowledged": acknowledged,
        "with_journal": real,
        "without_journal": null,
        "bars": bars,
    }


def prepare(folder: Path) -> tuple[Path, int]:
    """Write a configuration; return it and the port it names."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "data").mkdir()
    config = folder / "server.toml"
    config.write_text(
        f'data_dir = "{folder / "data"}"\n'
        f'[api]\nbind = "127.0.0.1:{port}"\nrate_limit = "1000000/second"\n'
        '[journal]\nmin_free_bytes = "64MiB"\n'
    )
    return config, port


def register(config: Path) -> dict[str, str]:
    """Make the state database and the hosts; return server id → key."""
    command = [str(Path(sys.executable).with_name("hostpulse-server")), "--config", str(config)]
    subprocess.run([*command, "db", "upgrade"], check=True, stdout=subprocess.DEVNULL)
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
        body = json.dumps(envelope, separators=(",", ":"))
        items.append(f'{{key="{key}", body=[==[{body}]==]}}')
    path = folder / f"load-{size}.lua"
    path.write_text("items = {" + ",\n".join(items) + "}\n" + LUA)
    path.chmod(0o600)
    return path


@contextmanager
def serving(command: list[str], port: int) -> Iterator[None]:
    """Run a server until the block ends."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT) as process:
        try:
            await_ready(process, port)
            yield
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
    from hostpulse_server.api.app import open_journal  # noqa: PLC0415  # after the arguments
    from hostpulse_server.clock import SYSTEM  # noqa: PLC0415  # as above
    from hostpulse_server.config import load as load_config  # noqa: PLC0415  # as above

    journal = open_journal(load_config(config, {}), SYSTEM)
    try:
        return journal.stats().newest_id
    finally:
        journal.close()


def serve_null(config: Path) -> None:
    """Serve the same app with a journal that keeps nothing."""
    from hostpulse_server import logs  # noqa: PLC0415  # as above
    from hostpulse_server.api.app import create_app, open_journal  # noqa: PLC0415  # as above
    from hostpulse_server.api.server import serve  # noqa: PLC0415  # as above
    from hostpulse_server.clock import SYSTEM  # noqa: PLC0415  # as above
    from hostpulse_server.config import ServerConfig  # noqa: PLC0415  # as above
    from hostpulse_server.config import load as load_config  # noqa: PLC0415  # as above

    def make(server_config: ServerConfig) -> Flask:
        journal = open_journal(server_config, SYSTEM)
        journal.append = lambda *_args, **_options: 1  # type: ignore[method-assign]
        return create_app(server_config, journal=journal)

    logs.setup()
    serve(load_config(config, {}), make)


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
        f"acknowledged {figures['acknowledged']:,}, in the journal {figures['journal_entries']:,} "
        "(which has also those under way when wrk stopped)"
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    raise SystemExit(main())
