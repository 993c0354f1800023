"""Errors of the agent: one root, flat; library code raises, only ``cli`` exits."""

from __future__ import annotations


class AgentError(Exception):
    """Root of everything the agent raises on purpose; its text says what to do."""


class ConfigError(AgentError):
    """The configuration has faults; ``faults`` holds one line each, with file and key."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class SecretError(AgentError):
    """A secret file is missing, malformed or readable by others."""


class SpoolBusyError(AgentError):
    """Another agent process holds the spool."""


class TransportError(AgentError):
    """No HTTP answer came back: name, route, TLS or a broken connection."""
