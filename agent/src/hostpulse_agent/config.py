"""Configuration of the agent: the table of keys, and how files and environment fill it.

Durations are seconds (float), sizes bytes (int), lists tuples. ``load`` names every fault at once.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent import options
from hostpulse_agent.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PATH = "/etc/hostpulse/agent.toml"
DEFAULT_SPOOL = "/var/lib/hostpulse-agent/spool.db"
PSEUDO_FILESYSTEMS = (
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "composefs",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fuse.lxcfs",
    "fuse.snapfuse",
    "fuse.squashfuse",
    "fuse.squashfuse_ll",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "snapfuse",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "udf",
)


class PlainConfig(NamedTuple):
    """A collector with nothing to choose but its interval (``None``: every tick)."""

    interval: float | None = None


class CpuConfig(NamedTuple):
    """``per_core``: ``usage`` (one field a core), ``all`` or ``off``."""

    interval: float | None = None
    per_core: str = "usage"


class DiskConfig(NamedTuple):
    """File system types left out, and regular expressions over mount points left out."""

    interval: float | None = None
    exclude_fstypes: tuple[str, ...] = PSEUDO_FILESYSTEMS
    exclude_mounts: tuple[str, ...] = (
        "^/var/lib/docker/",
        "^/var/lib/containers/",
        "^/var/lib/kubelet/",
        "^/run/",
    )


class NetworkConfig(NamedTuple):
    """Regular expressions over interface names left out."""

    interval: float | None = None
    exclude_interfaces: tuple[str, ...] = ("^veth", "^br-", "^cali")


class ProcessesConfig(NamedTuple):
    """``top``: how many processes go with a sample; 0 sends none."""

    interval: float | None = None
    top: int = 5


class CollectorsConfig(NamedTuple):
    """Every collector's section, each with defaults."""

    cpu: CpuConfig = CpuConfig()
    system: PlainConfig = PlainConfig()
    memory: PlainConfig = PlainConfig()
    swap: PlainConfig = PlainConfig()
    disk: DiskConfig = DiskConfig()
    diskio: PlainConfig = PlainConfig()
    network: NetworkConfig = NetworkConfig()
    connections: PlainConfig = PlainConfig()
    pressure: PlainConfig = PlainConfig()
    kernel: PlainConfig = PlainConfig()
    processes: ProcessesConfig = ProcessesConfig()


class ServerConfig(NamedTuple):
    """Where samples go. ``ca_file`` empty: the system's authorities."""

    urls: tuple[str, ...]
    key_file: str = "agent.key"
    ca_file: str = ""
    timeout: float = 10.0
    proxy_url: str = ""


class SamplingConfig(NamedTuple):
    """How often a sample is taken, seconds."""

    interval: float = 10.0


class SpoolConfig(NamedTuple):
    """Bounds of the spool; past any of them the oldest sample is dropped and counted."""

    path: str = DEFAULT_SPOOL
    max_samples: int = 1000
    max_bytes: int = 64 << 20
    max_age: float = 6 * 86400.0
    min_free_bytes: int = 256 << 20


class AgentConfig(NamedTuple):
    """The whole configuration; ``path`` is the file as named by the operator."""

    path: str
    server_id: str
    server: ServerConfig
    sampling: SamplingConfig
    spool: SpoolConfig
    collectors: CollectorsConfig

    def sibling_path(self, name: str) -> str:
        """Path of ``name`` next to the configuration as given (a symlink is not resolved)."""
        return os.path.join(os.path.dirname(os.path.abspath(self.path)), name)


_EVERY = {"interval": options.INTERVAL}
_COLLECTORS: dict[str, dict[str, options.Converter]] = {
    name: dict(_EVERY) for name in CollectorsConfig._fields
}
_COLLECTORS["cpu"]["per_core"] = options.choice("usage", "all", "off")
_COLLECTORS["disk"].update(exclude_fstypes=options.TEXTS, exclude_mounts=options.PATTERNS)
_COLLECTORS["network"]["exclude_interfaces"] = options.PATTERNS
_COLLECTORS["processes"]["top"] = options.TOP
_SERVER = {
    "urls": options.URLS,
    "key_file": options.PATH,
    "ca_file": options.TEXT,
    "timeout": options.TIMEOUT,
    "proxy_url": options.PROXY,
}
_SPOOL = {
    "path": options.PATH,
    "max_samples": options.COUNT,
    "max_bytes": options.SIZE,
    "max_age": options.DURATION,
    "min_free_bytes": options.SIZE,
}


def load(path: str, environ: Mapping[str, str], *, files: bool = True) -> AgentConfig:
    """Read ``path`` and the overriding environment; raise ``ConfigError`` with every fault.

    ``files=False`` does not open the files that it names, for a check before they exist.
    """
    reader = _Reader(path, environ)
    data = reader.table(_parse_file(path), "", {"server_id", *AgentConfig._fields[2:]})
    server_id = reader.value(data, "", "server_id", options.ID, None)
    server = reader.section(data, "server", ServerConfig, _SERVER)
    sampling = reader.section(data, "sampling", SamplingConfig, _EVERY)
    spool = reader.section(data, "spool", SpoolConfig, _SPOOL)
    collectors = reader.collectors(data)
    if server is not None and server.ca_file:
        ca_file = os.path.join(os.path.dirname(os.path.abspath(path)), server.ca_file)
        server = server._replace(ca_file=ca_file)
        if files:
            reader.readable(ca_file, "server.ca_file")
    if reader.faults:
        raise ConfigError(reader.faults)
    return AgentConfig(path, server_id, server, sampling, spool, collectors)


def _parse_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        hint = ": write it, or name another with --config" if error.errno == errno.ENOENT else ""
        raise ConfigError([f"{path}: cannot be read: {error.strerror}{hint}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from None


class _Reader:
    """Collects faults while it takes sections apart."""

    def __init__(self, path: str, environ: Mapping[str, str]) -> None:
        self.path = path
        self.environ = environ
        self.faults: list[str] = []

    def fault(self, key: str, text: str) -> None:
        self.faults.append(f"{self.path}: {key}: {text}")

    def table(self, value: Any, name: str, known: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.fault(name, "must be a table")
            return {}
        for key in value:
            if key not in known:
                dotted = f"{name}.{key}" if name else key
                self.fault(dotted, "is not a known key; known here: " + ", ".join(sorted(known)))
        return value

    def value(
        self, data: dict[str, Any], name: str, key: str, converter: options.Converter, default: Any
    ) -> Any:
        """One checked value; the environment wins over the file, the default comes last."""
        dotted = f"{name}.{key}" if name else key
        variable = "HOSTPULSE_" + dotted.upper().replace(".", "_")
        source = dotted
        if variable in self.environ:
            raw, source = (
                converter.from_text(self.environ[variable]),
                f"{dotted} (from ${variable})",
            )
        elif key in data:
            raw = data[key]
        else:
            if default is None and key in ("server_id", "urls"):
                self.fault(dotted, "is required")
            return default
        try:
            return converter.parse(raw)
        except ValueError as error:
            self.fault(source, str(error))
            return default

    def section(self, data: Any, name: str, build: Any, keys: dict[str, options.Converter]) -> Any:
        """Build one section's tuple; ``name`` may be dotted, ``data`` is its parent table."""
        table = self.table(data.get(name.rpartition(".")[2], {}), name, set(keys))
        defaults = build._field_defaults
        values = {
            key: self.value(table, name, key, converter, defaults.get(key))
            for key, converter in keys.items()
        }
        return build(**values)

    def collectors(self, data: dict[str, Any]) -> CollectorsConfig:
        known = CollectorsConfig._field_defaults
        table = self.table(data.get("collectors", {}), "collectors", set(known))
        return CollectorsConfig(
            **{
                name: self.section(table, f"collectors.{name}", type(default), _COLLECTORS[name])
                for name, default in known.items()
            }
        )

    def readable(self, path: str, key: str) -> None:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            self.fault(key, f"{path} cannot be read: {error.strerror}")
