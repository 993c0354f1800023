"""The sender against a real server that accepts, refuses, stalls and comes back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from agent.tests.conftest import KEY, ManualClock, Received, Receiver
from tests.support.polling import wait_until

from hostpulse_agent import wire
from hostpulse_agent.clock import ServerClock
from hostpulse_agent.config import ServerConfig, SpoolConfig
from hostpulse_agent.errors import SecretError
from hostpulse_agent.log import ProblemLog
from hostpulse_agent.sender import Dependencies, Sender
from hostpulse_agent.spool import Spool
from hostpulse_agent.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

T0 = 1_800_000_000_000


class SenderHarness:
    """A sender driven by hand: ``step`` moves time to when it wants to act."""

    def __init__(self, receiver: Receiver, config: SpoolConfig) -> None:
        self.receiver = receiver
        self.clock = ManualClock()
        receiver.clock_ms = lambda: self.clock.wall
        self.spool = Spool(config)
        self.key = KEY
        self.secret_error: SecretError | None = None
        self.transport = Transport()
        self.server_clock = ServerClock(self.clock)
        self.facts: dict[str, Any] = {"os": "x"}
        self.names: dict[str, list[str]] = {}
        self.sender = self.make((receiver.url,))

    def make(self, urls: tuple[str, ...]) -> Sender:
        """Make a sender for other URLs."""
        deps = Dependencies(
            self.spool,
            self.transport,
            self.clock,
            self.server_clock,
            ProblemLog(),
            self.read_key,
            lambda: self.facts,
            lambda: self.names,
        )
        header = wire.Header("web-01", "boot", None)
        return Sender(header, ServerConfig(urls, timeout=2.0), deps)

    def read_key(self) -> str:
        """Return the key, or fail as a bad file would."""
        if self.secret_error:
            raise self.secret_error
        return self.key

    def sample(self, count: int) -> None:
        """Spool samples."""
        for _ in range(count):
            self.clock.advance(10.0)
            self.spool.append(
                int(self.clock.wall),
                lambda sample_id: wire.encode(
                    {
                        "seq": sample_id.seq,
                        "time": sample_id.time_ms,
                        "interval_ms": 1,
                        "points": [],
                    }
                ),
            )

    def step(self, count: int = 1) -> float | None:
        """Act ``count`` times, waiting as long as the sender wants in between."""
        wait: float | None = 0.0
        for _ in range(count):
            wait = self.sender.step()
            if wait:
                self.clock.advance(wait)
        return wait

    def settle(self) -> None:
        """Act until nothing is left to send."""
        for _ in range(500):
            if self.step() is None:
                return
        pytest.fail("the sender never ran out of work")

    @property
    def seqs(self) -> list[int]:
        """Sequence numbers in order of arrival."""
        return [seq for _, seq in self.receiver.samples]


@pytest.fixture
def harness(receiver: Receiver, spool_config: SpoolConfig) -> Iterator[SenderHarness]:
    """Return a sender with a spool and a server."""
    made = SenderHarness(receiver, spool_config)
    yield made
    made.transport.close()
    made.spool.close()


def test_the_first_request_brings_facts_and_the_servers_clock(harness: SenderHarness) -> None:
    """Before any sample, so that samples are stamped right; again after an hour."""
    harness.clock.wall -= 3_600_000
    harness.receiver.clock_ms = lambda: harness.clock.wall + 3_600_000
    assert harness.step() == 0.0
    assert harness.receiver.received[0].envelope["facts"] == {"os": "x"}
    assert harness.receiver.received[0].envelope["samples"] == []
    assert harness.server_clock.offset_ms() == pytest.approx(3_600_000, abs=1)
    harness.sample(1)
    harness.settle()
    assert "facts" not in harness.receiver.received[1].envelope
    harness.clock.advance(3600.0)
    harness.settle()
    assert "facts" in harness.receiver.received[2].envelope


def test_names_of_what_ails_go_when_they_change_and_with_facts(harness: SenderHarness) -> None:
    """A failed request and a refused one do not lose them; nothing is sent without samples."""
    harness.names = {"units": ["nginx.service"]}
    harness.step()
    harness.sample(1)
    harness.settle()
    harness.names = {"units": []}
    assert harness.step() is None
    accept = harness.receiver.answers
    harness.receiver.answers = lambda _request: (503, {}, {})
    harness.sample(1)
    harness.step()
    harness.receiver.answers = accept
    harness.settle()
    harness.clock.advance(3600.0)
    harness.settle()
    sent = [request.envelope.get("ext") for request in harness.receiver.received]
    first: Any = {"names": {"units": ["nginx.service"]}}
    last: Any = {"names": {"units": []}}
    assert sent == [first, None, last, last, last]


def test_samples_go_without_names_that_the_server_refuses(harness: SenderHarness) -> None:
    """What is evidence only costs no sample."""
    accept = harness.receiver.answers
    harness.receiver.answers = lambda request: (
        (422, {}, {}) if "ext" in request.envelope else accept(request)
    )
    harness.step()
    harness.names = {"units": ["nginx.service"]}
    harness.sample(2)
    harness.settle()
    assert harness.seqs == [2, 1, 2], "the first time with the names"
    assert len(harness.spool) == 0


def test_the_newest_goes_first_and_the_backlog_behind_it_in_batches(harness: SenderHarness) -> None:
    """Live data is live again at once; 100 samples a request at most; nothing twice."""
    harness.sample(250)
    harness.settle()
    batches = [len(request.envelope["samples"]) for request in harness.receiver.received]
    assert batches == [0, 1, 100, 100, 49]
    assert harness.seqs == [250, *range(1, 250)]
    assert len(harness.spool) == 0


def test_a_sample_taken_while_draining_has_the_next_turn(harness: SenderHarness) -> None:
    """The backlog never delays live data by more than a batch."""
    harness.sample(250)
    harness.step(3)
    harness.sample(1)
    harness.settle()
    assert harness.seqs[:1] + harness.seqs[101:102] == [250, 251]
    assert sorted(harness.seqs) == list(range(1, 252))


@pytest.mark.parametrize("answer", ["reset", (500, {}, {}), (503, {}, {}), (429, {}, {})])
def test_an_outage_loses_nothing(
    harness: SenderHarness, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Retries back off up to a minute; the problem is logged once; then all is delivered."""
    accept = harness.receiver.answers
    harness.receiver.answers = lambda _request: answer
    harness.sample(3)
    for _ in range(12):
        wait = harness.step()
        assert wait is not None
        assert wait <= 60.0
        harness.sample(1)
    harness.receiver.answers = accept
    harness.receiver.received.clear()
    harness.settle()
    assert sorted(harness.seqs) == list(range(1, 16))
    logged = capsys.readouterr().err
    assert logged.count("samples are kept") == 1
    assert logged.count("delivered again") == 1
    assert KEY not in logged


def test_retry_after_is_honoured(harness: SenderHarness) -> None:
    """In seconds, as a floor."""
    harness.receiver.answers = lambda _request: (503, {"Retry-After": "120"}, {})
    harness.sample(1)
    wait = harness.sender.step()
    assert wait is not None
    assert 120.0 <= wait <= 180.0
    assert harness.sender.step() == wait
    assert len(harness.receiver.received) == 1


@pytest.mark.parametrize(
    ("status", "words"), [(401, "register"), (403, "server_id"), (409, "another machine")]
)
def test_a_refused_host_keeps_its_samples(
    harness: SenderHarness, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slow retries, logged once with what to do; once repaired all is delivered."""
    accept = harness.receiver.answers
    harness.receiver.answers = lambda _request: (status, {}, {})
    harness.sample(2)
    for _ in range(3):
        wait = harness.step()
        assert wait is not None
        assert wait >= 30.0
    assert len(harness.spool) == 2
    logged = capsys.readouterr().err
    assert logged.count("samples are kept") == 1
    assert words in logged
    harness.receiver.answers = accept
    harness.settle()
    assert len(harness.spool) == 0


def test_a_changed_key_is_used_without_a_restart(harness: SenderHarness) -> None:
    """The key file is read for every request; a bad one is waited out."""
    harness.secret_error = SecretError("the file is gone")
    harness.sample(1)
    harness.step()
    assert harness.receiver.received == []
    harness.secret_error = None
    harness.key = KEY.replace("A", "B")
    harness.settle()
    assert harness.receiver.received[-1].headers["authorization"] == f"Bearer {harness.key}"


def test_one_bad_sample_is_found_dropped_and_counted(harness: SenderHarness) -> None:
    """Halving finds it; every other sample is delivered."""

    def respond(request: Received) -> Any:
        samples = request.envelope["samples"]
        return (422, {}, {}) if any(s["seq"] == 37 for s in samples) else harness.receiver.accept()

    harness.receiver.answers = respond
    harness.sample(100)
    harness.settle()
    assert harness.spool.stats().dropped == {"rejected": 1}
    harness.receiver.answers = lambda _request: harness.receiver.accept()
    assert sorted(set(harness.seqs)) == list(range(1, 101))
    assert harness.seqs.count(37) <= 8
    assert len(harness.receiver.received) < 25


def test_a_server_that_refuses_everything_does_not_empty_the_spool(harness: SenderHarness) -> None:
    """A few samples may be bad; when all seem so, the server is suspected."""
    harness.receiver.answers = lambda _request: (422, {}, {})
    harness.sample(50)
    harness.step(30)
    assert len(harness.spool) >= 50 - 3


def test_refused_facts_do_not_hold_up_samples(harness: SenderHarness) -> None:
    """They are left out for an hour."""

    def respond(request: Received) -> Any:
        return (422, {}, {}) if "facts" in request.envelope else harness.receiver.accept()

    harness.receiver.answers = respond
    harness.sample(2)
    harness.settle()
    assert len(harness.spool) == 0
    assert harness.spool.stats().dropped == {}


def test_too_large_requests_become_smaller(harness: SenderHarness) -> None:
    """413 halves the batch until it fits."""

    def respond(request: Received) -> Any:
        many = len(request.envelope["samples"]) > 30
        return (413, {}, {}) if many else harness.receiver.accept()

    harness.receiver.answers = respond
    harness.sample(100)
    harness.settle()
    assert len(harness.spool) == 0
    assert harness.spool.stats().dropped == {}


def test_rejections_by_the_server_are_logged_once(
    harness: SenderHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 2xx is a receipt even for what the server left out."""
    entry = {"seq": 1, "point": 0, "field": "x", "reason": "not finite"}
    harness.receiver.answers = lambda _request: harness.receiver.accept([entry])
    harness.sample(3)
    harness.settle()
    assert capsys.readouterr().err.count("not finite") == 1
    assert len(harness.spool) == 0


@pytest.mark.parametrize("synchronised", [True, False])
def test_a_server_with_a_wrong_clock_does_not_cost_samples(
    harness: SenderHarness, capsys: pytest.CaptureFixture[str], *, synchronised: bool
) -> None:
    """An hour behind, it takes a synchronised host's samples for future ones: they are kept.

    Of a host that is not synchronised its own clock may be the wrong one.
    """
    receiver, clock = harness.receiver, harness.clock
    clock.synchronised = synchronised
    behind = 3_600_000.0

    def answer(request: Received) -> Any:
        samples = request.envelope["samples"]
        future = [one for one in samples if one["time"] > receiver.clock_ms() + 300_000]
        return receiver.accept([{"seq": one["seq"], "reason": "clock"} for one in future])

    receiver.answers = answer
    receiver.clock_ms = lambda: clock.wall - behind
    harness.sample(5)
    harness.step(6)
    assert len(harness.spool) == (5 if synchronised else 0)
    assert ("correct the server's" in capsys.readouterr().err) == synchronised
    behind = 0.0
    harness.settle()
    assert (len(harness.spool), harness.spool.stats().dropped) == (0, {})
    assert harness.sender.stats.sent == 5


def test_an_old_sample_is_refused_for_good(harness: SenderHarness) -> None:
    """The server's clock is right, so the sample's time is not: it is not kept for ever."""
    harness.clock.synchronised = True
    harness.receiver.answers = lambda _request: harness.receiver.accept(
        [{"seq": 1, "reason": "clock"}]
    )
    harness.sample(1)
    harness.settle()
    assert len(harness.spool) == 0


@pytest.mark.parametrize("answer", [["?"], "<html>", {}, {"server_time": 1}])
def test_a_200_of_somebody_else_is_no_receipt(
    harness: SenderHarness, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A portal's page stored nothing: the sample stays until hostpulse itself takes it."""
    harness.receiver.answers = lambda _request: (200, {}, answer)
    harness.sample(1)
    harness.step(3)
    assert len(harness.spool) == 1
    assert "the answer is not hostpulse's" in capsys.readouterr().err
    harness.receiver.answers = lambda _request: harness.receiver.accept()
    harness.settle()
    assert len(harness.spool) == 0


def test_a_receipt_without_a_time_is_a_receipt(harness: SenderHarness) -> None:
    """What was accepted is stored, even if the rest of the response is missing."""
    harness.receiver.answers = lambda _request: (200, {}, {"accepted": 1})
    harness.sample(1)
    harness.settle()
    assert len(harness.spool) == 0


@pytest.mark.parametrize(
    "server_time", [math.nan, math.inf, 1e300, 10**400, -1, True, "1", None, []], ids=str
)
def test_a_time_that_is_none_does_no_harm(harness: SenderHarness, server_time: object) -> None:
    """The receipt counts, the clock stays as it was, and the next sample goes, too."""
    receipt = {"accepted": 1, "server_time": server_time}
    harness.receiver.answers = lambda _request: (200, {}, receipt)
    for _ in range(2):
        harness.sample(1)
        harness.settle()
        assert len(harness.spool) == 0
    assert harness.server_clock.offset_ms() is None


def test_the_second_url_takes_over_and_the_first_is_returned_to(harness: SenderHarness) -> None:
    """Failover happens within the same attempt; after five minutes the first has a turn."""
    second = Receiver()
    harness.sender = harness.make((harness.receiver.url, second.url))
    accept = harness.receiver.answers
    harness.receiver.answers = lambda _request: (503, {}, {})
    harness.sample(1)
    harness.settle()
    assert [seq for _, seq in second.samples] == [1]
    harness.receiver.answers = accept
    harness.receiver.received.clear()
    harness.sample(40)
    harness.settle()
    assert sorted(harness.seqs + [seq for _, seq in second.samples]) == list(range(1, 42))
    assert harness.seqs
    second.close()


def test_streams_do_not_share_a_request(harness: SenderHarness) -> None:
    """The envelope names one stream."""
    harness.sample(3)
    harness.spool.stream.renew()
    harness.sample(3)
    harness.settle()
    for request in harness.receiver.received:
        assert len({s["seq"] for s in request.envelope["samples"]}) <= 3
    assert len(set(harness.receiver.samples)) == 6


def test_the_thread_sends_at_once_and_announces_the_stop(harness: SenderHarness) -> None:
    """``wake`` sends a sample without polling; the stop is an event with its reason."""
    harness.sender.start()
    wait_until(lambda: harness.receiver.received, "a request")
    harness.sample(1)
    harness.sender.wake()
    wait_until(lambda: harness.seqs == [1], "the sample is received")
    harness.sample(1)
    harness.sender.stop("remove")
    last = harness.receiver.received[-1].envelope
    assert last["events"] == [{"kind": "stopping", "reason": "remove"}]
    assert harness.seqs == [1, 2]
    assert len(harness.spool) == 0


def test_stopping_with_a_dead_server_is_short(
    harness: SenderHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stop never waits long."""
    harness.receiver.answers = lambda _request: "reset"
    harness.sender.start()
    wait_until(lambda: harness.receiver.received, "a request")
    harness.sender.stop("restart")
    assert not harness.sender._thread.is_alive()
    assert "not notified of the stop" in capsys.readouterr().err


def test_a_fault_of_a_step_does_not_end_the_thread(
    harness: SenderHarness, capsys: pytest.CaptureFixture[str]
) -> None:
    """Facts that cannot be collected are left out; any other error is logged and retried."""
    harness.facts = {"x": float("nan")}  # not to be encoded
    assert harness.sender._guarded_step() == 60.0
    assert "sending failed" in capsys.readouterr().err
