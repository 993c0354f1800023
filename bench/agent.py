"""What the agent costs a host, beside prometheus-node-exporter on the same machine and time.

The agent is installed from its payload and talks TLS with a private CA to a server on loopback;
the exporter is scraped at the same interval. Both see few and many open sockets in turns. The
interval is shortened, so a cycle's CPU time is reported and scaled to the real one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.loopback import HOST, Scraper, Sink, allow_files, connected, make_ca
from bench.procs import cpu_ns, memory
from bench.report import Row, save, table
from testbed.ports import free_port
from tests.support.polling import wait_until
from tools.payload.build import AGENT, CACHE, ROOT, build

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = ROOT / "roles" / "hostpulse_agent" / "templates" / "hostpulse-agent.service.j2"
RESULTS = ROOT / "bench" / "results"
REAL_INTERVAL = 10.0
FEW, MANY = 20, 18_000
WARM_UP = 10
AFTER = 100  # cycles before memory counts
MILLI = 1e6  # nanoseconds in a millisecond


@dataclass
class Spent:
    """CPU time and cycles of one program with one number of sockets."""

    nanoseconds: int = 0
    cycles: int = 0

    @property
    def cycle_ms(self) -> float:
        """Return the CPU milliseconds of one cycle."""
        return self.nanoseconds / self.cycles / MILLI

    @property
    def percent(self) -> float:
        """Return the percentage of one core at the real interval."""
        return self.cycle_ms / 1000 / REAL_INTERVAL * 100


@dataclass
class Trial:
    """Both programs under measurement and what they have spent, by number of sockets."""

    agent: int
    exporter: int
    sink: Sink
    scraper: Scraper
    interval: float
    spent: dict[tuple[str, int], Spent] = field(default_factory=dict)

    def reading(self) -> dict[str, tuple[int, int]]:
        """Return CPU nanoseconds and cycles so far of both."""
        return {
            "agent": (cpu_ns(self.agent), self.sink.samples),
            "exporter": (cpu_ns(self.exporter), self.scraper.scrapes),
        }

    def wait(self, cycles: int) -> None:
        """Wait until the agent delivered so many samples more."""
        goal = self.sink.samples + cycles
        wait_until(
            lambda: self.sink.samples >= goal, f"{cycles} samples", 30 + 3 * cycles * self.interval
        )

    def measure(self, sockets: int, cycles: int) -> None:
        """Open sockets, let both run, and add up what they spent."""
        opened = list(connected(sockets))
        self.wait(2)  # the cycle in which they were opened counts for neither
        before = self.reading()
        self.wait(cycles)
        for name, (nanoseconds, done) in self.reading().items():
            spent = self.spent.setdefault((name, sockets), Spent())
            spent.nanoseconds += nanoseconds - before[name][0]
            spent.cycles += done - before[name][1]
        for end in opened:
            end.close()


@contextmanager
def running(command: list[str], log: Path, env: dict[str, str]) -> Iterator[int]:
    """Run a program, give its process id, and end it afterwards."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=env)
        try:
            yield process.pid
            if process.poll() is not None:
                message = f"{command[0]} ended by itself:\n{log.read_text()[-2000:]}"
                raise RuntimeError(message)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def install(directory: Path, python: str) -> Path:
    """Install the agent as a host gets it and return its command."""
    payload, venv = directory / "payload", directory / "venv"
    build(AGENT, payload, cache=CACHE / "wheels", suffix="", check=False)
    manifest = json.loads((payload / "manifest.json").read_text())
    subprocess.run([python, "-m", "venv", "--without-pip", str(venv)], check=True)
    command = [str(venv / "bin" / "python"), str(payload / "wheels" / manifest["pip"] / "pip")]
    command += ["install", "--quiet", "--no-index", "--find-links", str(payload / "wheels")]
    command += ["--require-hashes", "--requirement", str(payload / "requirements.txt")]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return venv / "bin" / "hostpulse-agent"


def configure(directory: Path, ca: Path, port: int, interval: float) -> Path:
    """Write a configuration that differs from the defaults in address and interval only."""
    path = directory / "agent.toml"
    path.write_text(
        f'server_id = "bench"\n'
        f'[server]\nurls = ["https://{HOST}:{port}"]\nca_file = "{ca}"\nkey_file = "agent.key"\n'
        f'[sampling]\ninterval = "{interval:g}s"\n[spool]\npath = "{directory}/spool.db"\n',
    )
    return path


def unit_environment() -> dict[str, str]:
    """Return the environment that the agent's unit sets."""
    text = re.search(r"^Environment=(.*)$", UNIT.read_text(), re.MULTILINE)
    return dict(item.split("=", 1) for item in text.group(1).split()) if text else {}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the trial and return its figures."""
    allow_files(MANY + 500)
    exporter = shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    if not exporter:
        raise SystemExit("no node_exporter here: apt-get install prometheus-node-exporter")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = install(directory, options.python)
        ca, leaf = make_ca(directory)
        sink = stack.enter_context(Sink(leaf))
        stack.callback(sink.shutdown)
        config = configure(directory, ca, sink.server_address[1], options.interval)
        run_agent = [str(command), "--config", str(config)]
        subprocess.run([*run_agent, "key", "init"], check=True, capture_output=True)
        port = free_port()
        env = {"PATH": os.environ["PATH"], **unit_environment()}
        listen = [exporter, f"--web.listen-address={HOST}:{port}"]
        agent = stack.enter_context(running([*run_agent, "run"], directory / "agent.log", env))
        peer = stack.enter_context(running(listen, directory / "exporter.log", dict(os.environ)))
        wait_until(lambda: answers(port), "the exporter answers", 20)
        scraper = Scraper(port, options.interval)
        scraper.thread.start()
        stack.callback(scraper.stop)
        trial = Trial(agent, peer, sink, scraper, options.interval)
        trial.wait(WARM_UP)
        for _ in range(2):  # in turns, so that a drift of the machine falls on both
            for sockets in (FEW, MANY):
                trial.measure(sockets, options.cycles // 4)
        trial.wait(max(0, AFTER - sink.samples))
        return figures(trial)


def answers(port: int) -> bool:
    """Return whether the exporter can be scraped yet."""
    try:
        return Scraper(port, 1.0).scrape() > 0
    except OSError:
        return False


def figures(trial: Trial) -> dict[str, Any]:
    """Return everything measured, with the ratios against the exporter."""
    spent = trial.spent
    agent, peer = memory(trial.agent), memory(trial.exporter)
    points = trial.sink.last["points"]
    return {
        "cycles": trial.sink.samples,
        "interval_seconds": trial.interval,
        "points": len(points),
        "fields": sum(len(point["fields"]) for point in points),
        "wire_bytes": trial.sink.wire_bytes,
        "agent_memory_mib": asdict(agent),
        "exporter_memory_mib": asdict(peer),
        "memory_ratio": agent.main_rss / peer.main_rss,
        "agent_cpu_ms_per_cycle": spent["agent", FEW].cycle_ms,
        "exporter_cpu_ms_per_scrape": spent["exporter", FEW].cycle_ms,
        "agent_cpu_percent_at_10s": spent["agent", FEW].percent,
        "cpu_ratio": spent["agent", FEW].cycle_ms / spent["exporter", FEW].cycle_ms,
        "agent_cpu_ms_per_cycle_many": spent["agent", MANY].cycle_ms,
        "exporter_cpu_ms_per_scrape_many": spent["exporter", MANY].cycle_ms,
        "sockets_ratio": spent["agent", MANY].cycle_ms / spent["agent", FEW].cycle_ms,
    }


def rows(found: dict[str, Any]) -> list[Row]:
    """Return the table's rows with the bars that hold for them."""
    ours, theirs = found["agent_memory_mib"], found["exporter_memory_mib"]
    return [
        Row("agent resident", ours["main_rss"], "MiB", 24),
        Row("  its filesystem helper", ours["helper_rss"], "MiB"),
        Row("  both, proportional", ours["total_pss"], "MiB"),
        Row("node_exporter resident", theirs["main_rss"], "MiB"),
        Row("  agent / node_exporter", found["memory_ratio"], "x", 1.3),
        Row("agent CPU a cycle", found["agent_cpu_ms_per_cycle"], "ms"),
        Row("  at 10 s, of a core", found["agent_cpu_percent_at_10s"], "%", 0.05),
        Row("node_exporter CPU a scrape", found["exporter_cpu_ms_per_scrape"], "ms"),
        Row("  agent / node_exporter", found["cpu_ratio"], "x", 0.5),
        Row(f"agent CPU a cycle, {MANY} sockets", found["agent_cpu_ms_per_cycle_many"], "ms"),
        Row(f"  {MANY} / {FEW} sockets", found["sockets_ratio"], "x", 1.2),
        Row(f"node_exporter, {MANY} sockets", found["exporter_cpu_ms_per_scrape_many"], "ms"),
    ]


def main() -> int:
    """Run the trial, print the table, and return 1 with --check when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.agent", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 when a bar is missed")
    parser.add_argument("--cycles", type=int, default=120, help="measured cycles, in four turns")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds, at least 1")
    stock = "/usr/bin/python3"
    parser.add_argument("--python", default=stock if Path(stock).exists() else sys.executable)
    parser.add_argument("--json", type=Path, default=RESULTS / "agent.json", metavar="FILE")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    found = run(options)
    title = (
        f"{found['cycles']} cycles at {found['interval_seconds']:g} s over TLS; a sample is "
        f"{found['points']} points, {found['fields']} fields, {found['wire_bytes']} bytes as sent"
    )
    print(table(title, rows(found)))
    save(options.json, found)
    print(f"as JSON: {options.json}")
    return int(options.check and not all(row.held for row in rows(found)))


if __name__ == "__main__":
    raise SystemExit(main())
