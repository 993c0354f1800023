"""The agent's configuration: what is taken, what is refused, and how it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostpulse_agent import config, options, url
from hostpulse_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = 'server_id = "web-01"\n[server]\nurls = ["https://monitor:8443"]\n'


def write(directory: Path, text: str) -> str:
    """Write a configuration and return its path."""
    path = directory / "agent.toml"
    path.write_text(text)
    return str(path)


def faults(directory: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return the faults of a configuration, without its path."""
    path = write(directory, text)
    with pytest.raises(ConfigError) as caught:
        config.load(path, environ or {})
    assert all(fault.startswith(f"{path}: ") for fault in caught.value.faults)
    return [fault.partition(": ")[2] for fault in caught.value.faults]


def test_the_least_configuration_has_the_documented_defaults(tmp_path: Path) -> None:
    """A server id and a URL are enough."""
    loaded = config.load(write(tmp_path, MINIMAL), {})
    assert loaded.server == config.ServerConfig(urls=("https://monitor:8443",))
    assert loaded.spool == config.SpoolConfig()
    assert (loaded.spool.max_samples, loaded.spool.max_bytes) == (1000, 64 * 1024**2)
    assert (loaded.spool.max_age, loaded.spool.min_free_bytes) == (6 * 86400, 256 * 1024**2)
    assert loaded.sampling.interval == 10.0
    assert loaded.collectors == config.CollectorsConfig()


def test_every_key_can_be_set(tmp_path: Path) -> None:
    """All of it at once, in the units people write."""
    (tmp_path / "ca.pem").write_text("")
    text = """
        server_id = "db.example.org"
        [server]
        urls = ["https://a:8443/", "http://127.0.0.1:8080/prefix", "http://[::1]:80"]
        key_file = "/k"
        ca_file = "ca.pem"
        timeout = "500ms"
        proxy_url = "http://proxy:3128"
        [sampling]
        interval = "30s"
        [spool]
        path = "/s/spool.db"
        max_samples = 5
        max_bytes = "1GiB"
        max_age = "36h"
        min_free_bytes = "0B"
        [collectors.cpu]
        per_core = "off"
        [collectors.disk]
        interval = "1m"
        exclude_fstypes = []
        exclude_mounts = ["^/mnt"]
        [collectors.network]
        exclude_interfaces = ["^lo$"]
        [collectors.processes]
        top = 0
    """
    loaded = config.load(write(tmp_path, text), {})
    assert loaded.server.urls[:2] == ("https://a:8443", "http://127.0.0.1:8080/prefix")
    assert loaded.server.ca_file == str(tmp_path / "ca.pem")
    assert (loaded.server.timeout, loaded.sampling.interval) == (0.5, 30.0)
    assert loaded.spool == config.SpoolConfig("/s/spool.db", 5, 1 << 30, 36 * 3600.0, 0)
    assert loaded.collectors.disk == config.DiskConfig(60.0, (), ("^/mnt",))
    assert loaded.collectors.processes.top == 0


def test_all_faults_are_listed_at_once_with_their_key(tmp_path: Path) -> None:
    """One look is enough to repair a configuration."""
    text = """
        surplus = 1
        [server]
        urls = ["http://monitor:8080"]
        ca_file = "/nowhere/ca.pem"
        [spool]
        max_samples = "many"
        max_bytes = 5
        [collectors.cpu]
        per_core = "some"
        [collectors.disk]
        exclude_mounts = ["("]
        [collectors.gpu]
    """
    found = faults(tmp_path, text)
    keys = [fault.partition(": ")[0] for fault in found]
    assert keys == [
        "surplus",
        "server_id",
        "server.urls",
        "spool.max_samples",
        "spool.max_bytes",
        "collectors.gpu",
        "collectors.cpu.per_core",
        "collectors.disk.exclude_mounts",
        "server.ca_file",
    ]
    assert "loopback" in found[2]


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    """HOSTPULSE_<SECTION>_<KEY>; a fault in it names the variable."""
    environ = {
        "HOSTPULSE_SERVER_ID": "other",
        "HOSTPULSE_SERVER_URLS": "https://a:1, https://b:2",
        "HOSTPULSE_SPOOL_MAX_SAMPLES": "7",
        "HOSTPULSE_COLLECTORS_CPU_PER_CORE": "all",
    }
    loaded = config.load(write(tmp_path, MINIMAL), environ)
    assert loaded.server_id == "other"
    assert loaded.server.urls == ("https://a:1", "https://b:2")
    assert loaded.spool.max_samples == 7
    assert loaded.collectors.cpu.per_core == "all"
    (fault,) = faults(tmp_path, MINIMAL, {"HOSTPULSE_SAMPLING_INTERVAL": "10"})
    assert "$HOSTPULSE_SAMPLING_INTERVAL" in fault


@pytest.mark.parametrize(
    "text",
    [
        "server_id = 'web-01'\nserver = 1\n",
        MINIMAL + "timeout = 10\n",
        MINIMAL + "timeout = '0s'\n",
        MINIMAL + "proxy_url = 'https://proxy:1'\n",
        MINIMAL + "[sampling]\ninterval = '100ms'\n",
        MINIMAL + "[spool]\nmax_samples = true\n",
        MINIMAL + "[spool]\nmax_samples = 0\n",
        MINIMAL + "[collectors.processes]\ntop = 51\n",
        MINIMAL + "[collectors.network]\nexclude_interfaces = 'eth0'\n",
        MINIMAL.replace("web-01", "Web-01"),
        MINIMAL.replace("web-01", "-web"),
        MINIMAL.replace('["https://monitor:8443"]', "[]"),
        MINIMAL.replace("monitor:8443", "monitor:0"),
        MINIMAL.replace("monitor:8443", "monitor:8443?x=1"),
        MINIMAL.replace("https", "ftp"),
    ],
)
def test_a_wrong_value_is_one_fault(tmp_path: Path, text: str) -> None:
    """Wrong types and values are refused, each once per value."""
    assert len(faults(tmp_path, text)) in (1, 2)


def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    """Secrets belong into files, and not into the message either."""
    found = faults(tmp_path, MINIMAL.replace("//", "//user:hunter2@"))
    assert "user or password" in found[0]
    assert "hunter2" not in str(found)


def test_a_missing_or_broken_file_says_so(tmp_path: Path) -> None:
    """The path and what to do come with the refusal."""
    with pytest.raises(ConfigError, match=r"nowhere.toml.*--config"):
        config.load(str(tmp_path / "nowhere.toml"), {})
    assert "is not TOML" in faults(tmp_path, "server_id = ")[0]


def test_files_can_be_left_unseen(tmp_path: Path) -> None:
    """A configuration is checked before the CA file that it names has arrived."""
    path = write(tmp_path, MINIMAL + 'ca_file = "later.pem"\n')
    assert config.load(path, {}, files=False).server.ca_file == str(tmp_path / "later.pem")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(["server", "spool", "collectors", "x"]), st.integers()))
def test_nonsense_is_a_configuration_error(tmp_path: Path, tables: dict[str, int]) -> None:
    """With any value in place of a section, faults are listed and nothing else is raised."""
    text = "\n".join(f"{name} = {value}" for name, value in tables.items())
    assert faults(tmp_path, text)


@given(st.from_regex(options.SERVER_ID, fullmatch=True))
def test_every_legal_server_id_is_taken(server_id: str) -> None:
    """The pattern of the contract decides."""
    assert options.ID.parse(server_id) == server_id


def test_a_url_is_taken_apart() -> None:
    """Ports have defaults; IPv6 addresses lose their brackets only where a socket needs them."""
    assert url.split("https://[fe80::1]/x/") == url.Url(
        "https", "fe80::1", 443, "/x", "[fe80::1]:443"
    )
    assert url.split("http://localhost").port == 80
