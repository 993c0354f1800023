"""What ``server.toml`` and the environment may say, and how faults are told."""

from __future__ import annotations

import json
from pathlib import Path

import limits
import pytest

from hostpulse_server import config
from hostpulse_server.config.values import FallbackAfter
from hostpulse_server.errors import ConfigError
from hostpulse_server.runtime import redact

FULL = """
data_dir = "/srv/hp"
[site]
name = "acme"
timezone = "Europe/Berlin"
[api]
bind = "[::1]:9000"
threads = 4
max_body = "512KiB"
cors_origins = ["https://ops.example.org"]
[retention]
raw = "1d12h"
rollup = "60d"
[channels.slack]
kind = "slack"
webhook_url_file = "slack_webhook_url"
[channels.mail]
kind = "email"
host = "smtp.example.org"
from = "hostpulse@example.org"
to = ["ops@example.org"]
[[routes]]
match = {severity = "critical"}
channels = ["slack", "mail"]
"""


def write(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    path = folder / "server.toml"
    path.write_text(text)
    return path


def faults(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """Return the lines of the error that loading raises."""
    with pytest.raises(ConfigError) as caught:
        config.load(path, environ or {})
    return str(caught.value).splitlines()


def test_every_section_becomes_seconds_bytes_and_values(tmp_path: Path) -> None:
    """Durations are seconds, sizes bytes, channels know their kind."""
    loaded = config.load(write(tmp_path, FULL), {})
    assert (loaded.api.host, loaded.api.port, loaded.api.max_body) == ("::1", 9000, 512 * 1024)
    assert loaded.retention.raw == 36 * 3600
    assert loaded.state.url == "sqlite:////srv/hp/state.db"
    assert loaded.paths.journal == Path("/srv/hp/journal.db")
    mail = loaded.channels["mail"]
    assert isinstance(mail, config.EmailChannel)
    assert (mail.sender, mail.port, mail.security) == ("hostpulse@example.org", 587, "starttls")
    assert loaded.routes[0].channels == ("slack", "mail")


def test_defaults_alone_are_a_valid_configuration() -> None:
    """No file is needed for a first look."""
    loaded = config.load(None, {})
    assert loaded.api.bind == "127.0.0.1:8080"
    assert loaded.retention.raw == 7 * 86400


def test_all_faults_are_listed_at_once_with_file_and_key(tmp_path: Path) -> None:
    """One run of ``check`` is enough to repair a file."""
    path = write(
        tmp_path,
        """
        colour = "red"
        [api]
        threads = "many"
        max_body = "2 MB"
        bindd = "x"
        [journal]
        max_bytes = true
        [retention]
        raw = "week"
        [store]
        kind = "paper"
        [shipper]
        batch_seconds = false
        [channels.a]
        kind = "pigeon"
        [channels.b]
        kind = "slack"
        [[routes]]
        match = {severity = 3}
        channels = ["nobody"]
        """,
    )
    found = faults(path)
    assert all(line.startswith(f"{path}: ") for line in found)
    for key in (
        "colour",
        "api.threads",
        "api.max_body",
        "api.bindd",
        "journal.max_bytes",
        "retention.raw",
        "store.kind",
        "shipper.batch_seconds",
        "channels.a.kind",
        "channels.b.webhook_url_file",
        "routes.0.match",
        "routes.0.channels",
    ):
        assert any(f" {key}: " in line for line in found), key


def test_a_route_for_a_severity_that_there_is_not_is_a_fault(tmp_path: Path) -> None:
    """Nobody would be told by it; a glob that matches one of them is fine."""
    for glob, is_right in (("crit*", True), ("warn", False), ("Critical", False)):
        text = f'[[routes]]\nmatch = {{severity = "{glob}"}}\nchannels = []\n'
        path = write(tmp_path, text)
        if is_right:
            config.load(path, {})
        else:
            (fault,) = faults(path)
            assert " routes.0.match.severity: " in fault


def test_faults_of_values_are_listed_together_with_faults_of_types(tmp_path: Path) -> None:
    """What looks at a value that cannot be read is left out; all else is told at once."""
    found = faults(
        write(
            tmp_path,
            """
            [site]
            timezone = "Mars/Olympus"
            [api]
            threads = "many"
            workers = "two"
            cors_origins = ["*"]
            [retention]
            raw = "week"
            rollup = "1d"
            """,
        )
    )
    keys = [line.split(": ")[1] for line in found]
    assert sorted(keys) == [
        "api.cors_origins",
        "api.threads",
        "api.workers",
        "retention.raw",
        "site.timezone",
    ]


@pytest.mark.parametrize(
    "rate", ["10 per 0 second", "0/second", "10/0 minutes", "0 per hour", "-1/second", "1.5/second"]
)
def test_a_rate_without_end_or_without_requests_is_refused(tmp_path: Path, rate: str) -> None:
    """``check`` says it, not the first request."""
    text = f'[api]\nrate_limit = "{rate}"'
    assert any(" api.rate_limit: " in line for line in faults(write(tmp_path, text)))


@pytest.mark.parametrize("rate", ["10/second", "100 per 5 minutes", "20 per hour", "1/day"])
def test_the_rates_that_pass_are_rates(tmp_path: Path, rate: str) -> None:
    """What the configuration takes, the limiter takes."""
    loaded = config.load(write(tmp_path, f'[api]\nrate_limit = "{rate}"'), {})
    assert limits.parse(loaded.api.rate_limit).get_expiry() >= 1


@pytest.mark.parametrize(
    "text",
    [
        'group_by = "rule"',
        "group_by = [1]",
        "flap = 20",
        "flap = {widow = 20}",
        "flap = {window = -1}",
        "flap = {high = 30}",
        "flap = {high = 0.2}",
    ],
)
def test_groups_and_flapping_that_cannot_be_are_refused(tmp_path: Path, text: str) -> None:
    """A share is no percentage, and what begins at 20 % cannot go on to 25 %."""
    key = text.partition(" ")[0]
    assert any(f" alerts.{key}: " in line for line in faults(write(tmp_path, f"[alerts]\n{text}")))


def test_groups_and_flapping_can_be_set_by_variables(tmp_path: Path) -> None:
    """What is not given of a table keeps its default."""
    environ = {"HOSTPULSE_ALERTS_FLAP": "{window = 10}", "HOSTPULSE_ALERTS_GROUP_BY": "auto"}
    alerts = config.load(write(tmp_path, ""), environ).alerts
    assert (alerts.flap.window, alerts.flap.high, alerts.group_by) == (10, 0.3, "auto")
    environ = {"HOSTPULSE_ALERTS_GROUP_BY": "rule, env"}
    assert config.load(write(tmp_path, ""), environ).alerts.group_by == ("rule", "env")


@pytest.mark.parametrize("path", ["relative.pem", "", "/", "/etc/ssl/", "/a\\", "/a\u0007b.pem"])
def test_certificates_are_absolute_paths_of_files(tmp_path: Path, path: str) -> None:
    """A name that no store takes as a tag is refused here, too."""
    text = f"[site]\ncertificates = [{json.dumps(path)}]"
    assert any(" site.certificates: " in line for line in faults(write(tmp_path, text)))
    environ = {"HOSTPULSE_SITE_CERTIFICATES": "/etc/ssl/a.pem, /etc/ssl/b.pem"}
    loaded = config.load(write(tmp_path, ""), environ)
    assert loaded.site.certificates == ("/etc/ssl/a.pem", "/etc/ssl/b.pem")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[store.influxdb]\nca_file = "/etc/ca.pem"', "store.influxdb.ca_file"),
        ('[store.influxdb]\nbucket_rollup = "hostpulse_raw"', "store.influxdb.bucket_rollup"),
        ("[api]\nworkers = 2", "api.limiter_url"),
        ('[api]\nbind = "127.0.0.1:70000"', "api.bind"),
        ('[api]\ncors_origins = ["*"]', "api.cors_origins"),
        ("[shipper]\nbatch_points = 50\nmax_batch_points = 10", "shipper.max_batch_points"),
        ('[retention]\nraw = "9d"\nrollup = "8d"', "retention.rollup"),
        ('[retention]\nraw = "1m"', "retention.rollup_window"),
        ('[site]\ntimezone = "Mars/Olympus"', "site.timezone"),
        ('data_dir = "here"', "data_dir"),
        ("api = 3", "api"),
        ("routes = 3", "routes"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, text: str, key: str) -> None:
    """Values that are right alone but wrong together are faults, too."""
    assert any(f" {key}: " in line for line in faults(write(tmp_path, text)))


def test_two_workers_with_a_shared_limiter_are_fine(tmp_path: Path) -> None:
    """Only the inexact mix is refused."""
    text = '[api]\nworkers = 2\nlimiter_url = "redis://127.0.0.1:6379"'
    assert config.load(write(tmp_path, text), {}).api.workers == 2


def test_variables_override_keys_of_their_own_kind(tmp_path: Path) -> None:
    """Numbers, lists, nested sections and channels can come from the environment."""
    environ = {
        "HOSTPULSE_DATA_DIR": "/srv/other",
        "HOSTPULSE_API_THREADS": "3",
        "HOSTPULSE_API_CORS_ORIGINS": "https://a.example, https://b.example",
        "HOSTPULSE_STORE_INFLUXDB_ORG": "ops",
        "HOSTPULSE_SHIPPER_BATCH_SECONDS": "2.5",
        "HOSTPULSE_CHANNELS_SLACK_ALLOW_PRIVATE": "true",
        "HOSTPULSE_DEMO_SPEED": "fast",
    }
    loaded = config.load(write(tmp_path, FULL), environ)
    assert (loaded.data_dir, loaded.api.threads) == (Path("/srv/other"), 3)
    assert loaded.api.cors_origins == ("https://a.example", "https://b.example")
    assert loaded.store.influxdb.org == "ops"
    assert loaded.shipper.batch_seconds == 2.5
    slack = loaded.channels["slack"]
    assert isinstance(slack, config.SlackChannel)
    assert slack.allow_private


def test_a_channels_kind_is_a_key_like_any_other(tmp_path: Path) -> None:
    """Its other keys are those of the kind that the variable says."""
    environ = {"HOSTPULSE_CHANNELS_SLACK_KIND": "pigeon"}
    found = faults(write(tmp_path, FULL), environ)
    assert any("channels.slack.kind: must be one of" in fault for fault in found)


def test_a_fault_in_a_variable_names_it(tmp_path: Path) -> None:
    """The file's own value may be right."""
    (fault,) = faults(write(tmp_path, FULL), {"HOSTPULSE_ALERTS_GROUP_WAIT": "abc"})
    assert "alerts.group_wait: " in fault
    assert fault.endswith("(from HOSTPULSE_ALERTS_GROUP_WAIT)")


def test_a_variable_with_a_typing_error_is_a_fault(tmp_path: Path) -> None:
    """Under a section of ours, a name that is no key is not passed over."""
    found = faults(write(tmp_path, ""), {"HOSTPULSE_API_THREAD": "3", "HOSTPULSE_API_PORT": "1"})
    assert len(found) == 2


def test_a_missing_or_broken_file_is_told_in_one_line(tmp_path: Path) -> None:
    """Neither a traceback nor an empty configuration."""
    assert "cannot be read" in faults(tmp_path / "none.toml")[0]
    assert "is not TOML" in faults(write(tmp_path, "a = ["))[0]


def test_secrets_are_found_as_credentials_then_beside_the_file(tmp_path: Path) -> None:
    """A name is looked up in $CREDENTIALS_DIRECTORY first; an absolute path is itself."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    beside, handed = tmp_path / "a", credentials / "b"
    for path, text in ((beside, "beside-secret\n"), (handed, "handed-secret\n")):
        path.write_text(text)
        path.chmod(0o600)
    (tmp_path / "b").write_text("shadowed")
    loaded = config.load(write(tmp_path, ""), {"CREDENTIALS_DIRECTORY": str(credentials)})
    assert loaded.secret("a") == "beside-secret"
    assert loaded.secret("b") == "handed-secret"
    assert loaded.secret(str(beside)) == "beside-secret"
    assert "handed-secret" not in redact.text("the handed-secret leaked")


@pytest.mark.parametrize(
    ("mode", "content", "says"),
    [(0o644, b"x", "chmod 600"), (0o640, b"x", "chmod 600"), (0o600, b" \n", "is empty")],
)
def test_an_unfit_secret_file_is_refused_with_the_fix(
    tmp_path: Path, mode: int, content: bytes, says: str
) -> None:
    """Others could read it, or there is nothing in it; a log shows the whole message."""
    path = tmp_path / "influxdb_write_token"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=says) as refused:
        config.load(None, {}).secret(str(path))
    assert redact.text(str(refused.value)) == str(refused.value)


def test_a_missing_or_binary_secret_file_is_told(tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "s"
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(None, {}).secret(str(path))
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(None, {}).secret(str(path))


def test_who_gets_what_a_channel_does_not_take_is_a_table_of_times(tmp_path: Path) -> None:
    """One of two, as a variable too; the channels named must be there."""
    found = config.load(write(tmp_path, '[alerts.fallback_after]\ncritical = "2m"\n'), {})
    assert found.alerts.fallback_after == FallbackAfter(120.0, 900.0)
    environ = {"HOSTPULSE_ALERTS_FALLBACK_AFTER": "critical=1m, default=10m"}
    found = config.load(write(tmp_path, ""), environ)
    assert found.alerts.fallback_after == FallbackAfter(60.0, 600.0)
    for wrong in ('fallback_after = "5m"', 'fallback_after = {critical = "0s"}'):
        assert "alerts.fallback_after" in faults(write(tmp_path, f"[alerts]\n{wrong}\n"))[0]
    assert "alerts.fallback" in faults(write(tmp_path, '[alerts]\nfallback = ["x"]\n'))[0]
