"""The sender against a real server that accepts, refuses, stalls and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agent.tests.conftest import KEY, HandClock, Received, Receiver, wait_until

from hostpulse_agent import wire
from hostpulse_agent.clock import ServerClock
from hostpulse_agent.config import ServerConfig, SpoolConfig
from hostpulse_agent.errors import SecretError
from hostpulse_agent.log import Troubles
from hostpulse_agent.sender import Hands, Sender
from hostpulse_agent.spool import Spool
from hostpulse_agent.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

T0 = 1_800_000_000_000


class Bench:
    """A sender driven by hand: ``step`` moves time to when it wants to act."""

    def __init__(self, receiver: Receiver, config: SpoolConfig) -> None:
        self.receiver = receiver
        self.clock = HandClock()
        receiver.clock_ms = lambda: self.clock.wall
        self.spool = Spool(config)
        self.key = KEY
        self.secret_error: SecretError | None = None
        self.transport = Transport()
        self.server_clock = ServerClock(self.clock)
        self.facts: dict[str, Any] = {"os": "x"}
        self.sender = self.make((receiver.url,))

    def make(self, urls: tuple[str, ...]) -> Sender:
        """Make a sender for other URLs."""
        hands = Hands(
            self.spool,
            self.transport,
            self.clock,
            self.server_clock,
            Troubles(),
            self.read_key,
            lambda: self.facts,
        )
        header = wire.Header("web-01", "boot", None)
        return Sender(header, ServerConfig(urls, timeout=2.0), hands)

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
                lambda place: wire.encode(
                    {"seq": place.seq, "time": place.time_ms, "interval_ms": 1, "points": []}
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
        pytest.fail("the sender never came to rest")

    @property
    def seqs(self) -> list[int]:
        """Sequence numbers in order of arrival."""
        return [seq for _, seq in self.receiver.samples]


@pytest.fixture
def bench(receiver: Receiver, spool_config: SpoolConfig) -> Iterator[Bench]:
    """Return a sender with a spool and a server."""
    made = Bench(receiver, spool_config)
    yield made
    made.transport.close()
    made.spool.close()


def test_the_first_request_brings_facts_and_the_servers_clock(bench: Bench) -> None:
    """Before any sample, so that samples are stamped right; again after an hour."""
    bench.clock.wall -= 3_600_000
    bench.receiver.clock_ms = lambda: bench.clock.wall + 3_600_000
    assert bench.step() == 0.0
    assert bench.receiver.received[0].envelope["facts"] == {"os": "x"}
    assert bench.receiver.received[0].envelope["samples"] == []
    assert bench.server_clock.offset_ms() == pytest.approx(3_600_000, abs=1)
    bench.sample(1)
    bench.settle()
    assert "facts" not in bench.receiver.received[1].envelope
    bench.clock.advance(3600.0)
    bench.settle()
    assert "facts" in bench.receiver.received[2].envelope


def test_the_newest_goes_first_and_the_backlog_behind_it_in_batches(bench: Bench) -> None:
    """Live data is live again at once; 100 samples a request at most; nothing twice."""
    bench.sample(250)
    bench.settle()
    batches = [len(request.envelope["samples"]) for request in bench.receiver.received]
    assert batches == [0, 1, 100, 100, 49]
    assert bench.seqs == [250, *range(1, 250)]
    assert len(bench.spool) == 0


def test_a_sample_taken_while_draining_has_the_next_turn(bench: Bench) -> None:
    """The backlog never delays live data by more than a batch."""
    bench.sample(250)
    bench.step(3)
    bench.sample(1)
    bench.settle()
    assert bench.seqs[:1] + bench.seqs[101:102] == [250, 251]
    assert sorted(bench.seqs) == list(range(1, 252))


@pytest.mark.parametrize("answer", ["reset", (500, {}, {}), (503, {}, {}), (429, {}, {})])
def test_an_outage_loses_nothing(
    bench: Bench, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Retries back off below a minute; it is said once; afterwards all is there."""
    accept = bench.receiver.answers
    bench.receiver.answers = lambda _request: answer
    bench.sample(3)
    for _ in range(12):
        wait = bench.step()
        assert wait is not None
        assert wait <= 60.0
        bench.sample(1)
    bench.receiver.answers = accept
    bench.receiver.received.clear()
    bench.settle()
    assert sorted(bench.seqs) == list(range(1, 16))
    told = capsys.readouterr().err
    assert told.count("samples are kept") == 1
    assert told.count("delivered again") == 1
    assert KEY not in told


def test_retry_after_is_honoured(bench: Bench) -> None:
    """In seconds, as a floor."""
    bench.receiver.answers = lambda _request: (503, {"Retry-After": "120"}, {})
    bench.sample(1)
    wait = bench.sender.step()
    assert wait is not None
    assert 120.0 <= wait <= 180.0
    assert bench.sender.step() == wait
    assert len(bench.receiver.received) == 1


@pytest.mark.parametrize(
    ("status", "words"), [(401, "register"), (403, "server_id"), (409, "another machine")]
)
def test_a_refused_host_keeps_its_samples(
    bench: Bench, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slow retries, said once with what to do; once repaired all is delivered."""
    accept = bench.receiver.answers
    bench.receiver.answers = lambda _request: (status, {}, {})
    bench.sample(2)
    for _ in range(3):
        wait = bench.step()
        assert wait is not None
        assert wait >= 30.0
    assert len(bench.spool) == 2
    told = capsys.readouterr().err
    assert told.count("samples are kept") == 1
    assert words in told
    bench.receiver.answers = accept
    bench.settle()
    assert len(bench.spool) == 0


def test_a_changed_key_is_used_without_a_restart(bench: Bench) -> None:
    """The key file is read for every request; a bad one is waited out."""
    bench.secret_error = SecretError("the file is gone")
    bench.sample(1)
    bench.step()
    assert bench.receiver.received == []
    bench.secret_error = None
    bench.key = KEY.replace("A", "B")
    bench.settle()
    assert bench.receiver.received[-1].headers["authorization"] == f"Bearer {bench.key}"


def test_one_bad_sample_is_found_dropped_and_counted(bench: Bench) -> None:
    """Halving finds it; every other sample is delivered."""

    def judge(request: Received) -> Any:
        samples = request.envelope["samples"]
        return (422, {}, {}) if any(s["seq"] == 37 for s in samples) else bench.receiver.accept()

    bench.receiver.answers = judge
    bench.sample(100)
    bench.settle()
    assert bench.spool.stats().dropped == {"rejected": 1}
    bench.receiver.answers = lambda _request: bench.receiver.accept()
    assert sorted(set(bench.seqs)) == list(range(1, 101))
    assert bench.seqs.count(37) <= 8
    assert len(bench.receiver.received) < 25


def test_a_server_that_refuses_everything_does_not_empty_the_spool(bench: Bench) -> None:
    """A few samples may be at fault; when all seem so, the server is suspected."""
    bench.receiver.answers = lambda _request: (422, {}, {})
    bench.sample(50)
    bench.step(30)
    assert len(bench.spool) >= 50 - 3


def test_refused_facts_do_not_hold_up_samples(bench: Bench) -> None:
    """They are left out for an hour."""

    def judge(request: Received) -> Any:
        return (422, {}, {}) if "facts" in request.envelope else bench.receiver.accept()

    bench.receiver.answers = judge
    bench.sample(2)
    bench.settle()
    assert len(bench.spool) == 0
    assert bench.spool.stats().dropped == {}


def test_too_large_requests_become_smaller(bench: Bench) -> None:
    """413 halves the batch until it fits."""

    def judge(request: Received) -> Any:
        many = len(request.envelope["samples"]) > 30
        return (413, {}, {}) if many else bench.receiver.accept()

    bench.receiver.answers = judge
    bench.sample(100)
    bench.settle()
    assert len(bench.spool) == 0
    assert bench.spool.stats().dropped == {}


def test_verdicts_of_the_server_are_told_once(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 2xx is a receipt even for what the server left out."""
    entry = {"seq": 1, "point": 0, "field": "x", "reason": "not finite"}
    bench.receiver.answers = lambda _request: bench.receiver.accept([entry])
    bench.sample(3)
    bench.settle()
    assert capsys.readouterr().err.count("not finite") == 1
    assert len(bench.spool) == 0


@pytest.mark.parametrize("answer", [["?"], "<html>", {}, {"server_time": 1}])
def test_a_200_of_somebody_else_is_no_receipt(
    bench: Bench, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A portal's page stored nothing: the sample stays until hostpulse itself takes it."""
    bench.receiver.answers = lambda _request: (200, {}, answer)
    bench.sample(1)
    bench.step(3)
    assert len(bench.spool) == 1
    assert "the answer is not hostpulse's" in capsys.readouterr().err
    bench.receiver.answers = lambda _request: bench.receiver.accept()
    bench.settle()
    assert len(bench.spool) == 0


def test_a_receipt_without_a_time_is_a_receipt(bench: Bench) -> None:
    """What was accepted is stored, whatever else the answer lacks."""
    bench.receiver.answers = lambda _request: (200, {}, {"accepted": 1})
    bench.sample(1)
    bench.settle()
    assert len(bench.spool) == 0


def test_the_second_url_takes_over_and_the_first_is_returned_to(bench: Bench) -> None:
    """Failover happens within the same attempt; after five minutes the first has a turn."""
    second = Receiver()
    bench.sender = bench.make((bench.receiver.url, second.url))
    accept = bench.receiver.answers
    bench.receiver.answers = lambda _request: (503, {}, {})
    bench.sample(1)
    bench.settle()
    assert [seq for _, seq in second.samples] == [1]
    bench.receiver.answers = accept
    bench.receiver.received.clear()
    bench.sample(40)
    bench.settle()
    assert sorted(bench.seqs + [seq for _, seq in second.samples]) == list(range(1, 42))
    assert bench.seqs
    second.close()


def test_streams_do_not_share_a_request(bench: Bench) -> None:
    """The envelope names one stream."""
    bench.sample(3)
    bench.spool.stream.renew()
    bench.sample(3)
    bench.settle()
    for request in bench.receiver.received:
        assert len({s["seq"] for s in request.envelope["samples"]}) <= 3
    assert len(set(bench.receiver.samples)) == 6


def test_the_thread_sends_at_once_and_says_good_bye(bench: Bench) -> None:
    """A noticed sample leaves without polling; the stop is an event with its reason."""
    bench.sender.start()
    wait_until(lambda: bench.receiver.received)
    bench.sample(1)
    bench.sender.notice()
    wait_until(lambda: bench.seqs == [1])
    bench.sample(1)
    bench.sender.stop("remove")
    last = bench.receiver.received[-1].envelope
    assert last["events"] == [{"kind": "stopping", "reason": "remove"}]
    assert bench.seqs == [1, 2]
    assert len(bench.spool) == 0


def test_good_bye_to_a_dead_server_is_short(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stop never waits long."""
    bench.receiver.answers = lambda _request: "reset"
    bench.sender.start()
    wait_until(lambda: bench.receiver.received)
    bench.sender.stop("restart")
    assert not bench.sender._thread.is_alive()
    assert "not told of the stop" in capsys.readouterr().err


def test_a_fault_of_a_step_does_not_end_the_thread(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Facts that cannot be had are left out; any other surprise is told and tried again."""
    bench.facts = {"x": float("nan")}  # not to be encoded
    assert bench.sender._guarded_step() == 60.0
    assert "sending failed" in capsys.readouterr().err
