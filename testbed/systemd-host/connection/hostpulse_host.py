"""Ansible's connection to a local test host: podman's, with modules sent over standard input.

The collection's plugin switches pipelining off, for containers that have no standard input. Ours
have one, and without it Ansible writes, makes executable and removes a file for every task: a
fifth of what a task costs.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.containers.podman.plugins.connection import podman

# The options are those of the plugin that this one extends.
DOCUMENTATION = podman.DOCUMENTATION

# podman's own errors: of itself, and of a container that does not run
_NO_HOST = (125, 255)


class Connection(podman.Connection):
    """What Ansible asks for."""

    transport = "hostpulse_host"
    has_pipelining = True

    def exec_command(self, *given: Any, **options: Any) -> Any:
        """Return exit code, output, errors; a host that does not run is unreachable, as by ssh."""
        code, output, errors = super().exec_command(*given, **options)
        if code in _NO_HOST:
            raise AnsibleConnectionFailure(errors.decode("utf-8", "replace").strip())
        return code, output, errors
