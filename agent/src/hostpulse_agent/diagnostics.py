"""`hostpulse-agent check`: checks every part; each finding says what to do."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_agent import config as configuration
from hostpulse_agent import keys, machine, retry_policy, wire
from hostpulse_agent.clock import CORRECT_ABOVE_MS, Clock, ServerClock, server_time_ms
from hostpulse_agent.errors import ConfigError, SecretError, TransportError
from hostpulse_agent.stream import new_uuid
from hostpulse_agent.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_agent.config import AgentConfig
    from hostpulse_agent.transport import Response


class Finding(NamedTuple):
    """One line of the report: the part, whether it is in order, and why."""

    part: str
    ok: bool
    text: str


def check(path: str, environ: Mapping[str, str], *, offline: bool = False) -> list[Finding]:
    """Check the configuration at ``path`` and, unless ``offline``, all that it names."""
    try:
        config = configuration.load(path, environ, files=not offline)
    except ConfigError as error:
        return [Finding("configuration", ok=False, text=fault) for fault in error.faults]
    findings = [Finding("configuration", ok=True, text=path)]
    if offline:
        return findings
    findings += [_spool(config), _readings()]
    key_path = keys.locate(config.server.key_file, config.sibling_path(""), environ)
    try:
        key = keys.read(key_path)
    except SecretError as error:
        return [*findings, Finding("key", ok=False, text=str(error))]
    findings.append(Finding("key", ok=True, text=f"{key_path} ({keys.describe(key)['id']})"))
    for url in config.server.urls:
        findings.extend(_server(config, url, key))
    return findings


def _spool(config: AgentConfig) -> Finding:
    directory = os.path.dirname(os.path.abspath(config.spool.path))
    if os.access(directory, os.W_OK | os.X_OK):
        return Finding("spool", ok=True, text=config.spool.path)
    advice = f"{directory} is missing or not writable for this user: samples would live in memory"
    return Finding("spool", ok=False, text=f"{advice}; create it for the agent's user")


def _readings() -> Finding:
    from hostpulse_agent import psutil_comparison  # noqa: PLC0415 -- online only

    try:
        found = psutil_comparison.differences()
    except ImportError as error:
        text = f"psutil cannot be imported ({error}): install this release of the agent again"
        return Finding("readings", ok=False, text=text)
    except (OSError, ValueError) as error:
        return Finding("readings", ok=False, text=f"/proc cannot be read: {error}")
    if found:
        text = f"{'; '.join(found)}: report it with this kernel's version and /proc/meminfo"
        return Finding("readings", ok=False, text=text)
    return Finding("readings", ok=True, text="collectors and psutil agree")


def _server(config: AgentConfig, url: str, key: str) -> list[Finding]:
    clock = Clock()
    transport = Transport(config.server.ca_file, config.server.proxy_url)
    header = wire.Header(config.server_id, machine.boot_id(), machine.machine_hash())
    # An envelope without samples is valid when it has facts.
    body = wire.envelope(header, new_uuid(), int(clock.wall_ms()), {"facts": _facts()}, [])
    sent_ms = clock.boot_ms()
    try:
        response = transport.post(url, key, body, config.server.timeout)
    except TransportError as error:
        return [Finding("server", ok=False, text=str(error))]
    finally:
        transport.close()
    reached = Finding("server", ok=True, text=f"{url} answers")
    outcome = retry_policy.classify(response.status, None)
    if outcome.action != retry_policy.DONE:
        text = f"{url}: {outcome.advice or f'the server answers {response.status}'}"
        return [reached, Finding("authentication", ok=False, text=text + _detail(response))]
    server_clock = ServerClock(clock)
    return [
        reached,
        Finding("authentication", ok=True, text=f"writes as {config.server_id}"),
        *_clock(server_clock, response, sent_ms, clock.boot_ms()),
    ]


def _facts() -> dict[str, object]:
    from hostpulse_agent.collectors.facts import collect_facts  # noqa: PLC0415 -- online only

    return collect_facts()


def _detail(response: Response) -> str:
    """Return what the server's problem document says, or nothing."""
    try:
        detail = json.loads(response.body)["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f" ({detail})"


def _clock(
    server_clock: ServerClock, response: Response, sent_ms: float, received_ms: float
) -> list[Finding]:
    try:
        server_ms = server_time_ms(json.loads(response.body))
    except ValueError:
        return [Finding("clock", ok=False, text="the answer has no server_time: check server.urls")]
    server_clock.observe(server_ms, sent_ms, received_ms)
    offset_s = (server_clock.offset_ms() or 0.0) / 1000
    if abs(offset_s) * 1000 > CORRECT_ABOVE_MS:
        text = f"this host's clock is {-offset_s:+.0f} s from the server's: "
        if server_clock.is_wrong():
            advice = "time synchronisation works here, so correct the server's (timedatectl)"
        else:
            advice = "turn on time synchronisation on both (timedatectl)"
        return [Finding("clock", ok=False, text=text + advice)]
    return [Finding("clock", ok=True, text=f"{-offset_s:+.3f} s from the server's")]
