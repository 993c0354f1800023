"""Options that every influxdb_* module has."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation that modules extend."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of the server, for example C(http://127.0.0.1:8086). No proxy is used and no
        redirection followed, so that the token goes nowhere else.
    type: str
    required: true
  ca_file:
    description: CA certificates to trust for C(https); empty for the host's own.
    type: path
    default: ""
  token_file:
    description: File on the host that runs the module, with the operator token.
    type: path
    required: true
  timeout:
    description: Seconds to wait for each answer.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description:
      - Reports what would change and changes nothing. What earlier tasks of the same dry run would
        have made (server, token file, organization, bucket) may be missing; it counts as a change.
  diff_mode: {support: full, description: Shows what differs; never a secret.}
requirements:
  - InfluxDB 2.1 or newer, not InfluxDB 1 or 3
"""
