"""The reactor of ``abg proxy``: each event is told once, and nobody's fault stops the others."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest
from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.protocol import Protocol
from twisted.python import log

if sys.platform != "linux":
    pytest.skip("epoll is Linux's", allow_module_level=True)

from abg.wire.epoll import LONGEST, MOST_CANCELLED, BareEpoll
from abg.wire.outlet import SMALL, Sender
from abg.wire.turn import MOST_POSTED


class Reader(FileDescriptor):
    """Reads one end of a pair, then does what it was told to."""

    def __init__(self, reactor: BareEpoll) -> None:
        super().__init__(reactor)
        self.near, self.far = socket.socketpair()
        self.got: list[bytes] = []
        self.lost = 0
        self.then: Any = lambda: None
        self.connected = 1
        self.startReading()

    def fileno(self) -> int:
        return self.near.fileno()

    def doRead(self) -> None:
        self.got.append(self.near.recv(100))
        self.then()

    def connectionLost(self, reason: object) -> None:
        self.lost += 1
        super().connectionLost(reason)


@pytest.fixture
def reactor() -> Any:
    reactor = BareEpoll()
    yield reactor
    for reader in reactor.removeAll():
        reader.near.close()
        reader.far.close()
    reactor._poller.close()


@pytest.fixture
def logged() -> Any:
    faults: list[str] = []

    def observe(event: Any) -> None:
        if event.get("isError"):
            faults.append(event["failure"].getErrorMessage())

    log.addObserver(observe)
    yield faults
    log.removeObserver(observe)


def crash() -> None:
    raise ValueError("a fault of its own")


def test_each_event_is_told_once(reactor: BareEpoll) -> None:
    readers = [Reader(reactor) for _ in range(3)]
    for reader in readers[:2]:
        reader.far.send(b"x")
    reactor.doIteration(None)
    reactor.doIteration(0)
    assert [reader.got for reader in readers] == [[b"x"], [b"x"], []]


def test_a_fault_ends_its_own_connection_only(reactor: BareEpoll, logged: list[str]) -> None:
    first, second = Reader(reactor), Reader(reactor)
    first.then = crash
    for reader in (first, second):
        reader.far.send(b"x")
    reactor.doIteration(0)
    assert (first.lost, second.lost, second.got) == (1, 0, [b"x"])
    assert logged == ["a fault of its own"]
    first.near.close()
    first.far.close()


def test_a_fault_in_losing_a_connection_is_told_too(
    reactor: BareEpoll, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Reader(reactor), Reader(reactor)
    monkeypatch.setattr(reactor, "_read", lambda reader: reader.doRead())
    first.then = crash
    for reader in (first, second):
        reader.far.send(b"x")
    reactor.doIteration(0)
    assert second.got == [b"x"]
    assert logged == ["a fault of its own"]


def test_who_was_closed_by_another_is_told_nothing(reactor: BareEpoll) -> None:
    first, second = Reader(reactor), Reader(reactor)
    first.then = second.stopReading
    second.then = first.stopReading
    for reader in (first, second):
        reader.far.send(b"x")
    reactor.doIteration(0)
    assert len(first.got) + len(second.got) == 1
    reactor.addReader(first)
    reactor.addReader(second)


def test_an_interrupt_goes_through(reactor: BareEpoll, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(reactor)

    def interrupt() -> None:
        raise KeyboardInterrupt

    reader.then = interrupt
    reader.far.send(b"x")
    monkeypatch.setattr(reactor, "_read", lambda reader: reader.doRead())
    with pytest.raises(KeyboardInterrupt):
        reactor.doIteration(0)


@pytest.mark.parametrize(
    ("first", "expected"),
    [("", "BareEpoll"), ("from twisted.internet import selectreactor as s; s.install()", "Select")],
)
def test_it_is_installed_where_there_is_none_yet(first: str, expected: str) -> None:
    program = f"{first}\nfrom abg.wire.epoll import install\ninstall()\ninstall()\n"
    program += "from twisted.internet import reactor\nprint(type(reactor).__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().startswith(expected)


# -- the loop --------------------------------------------------------------------------------------


def looped(reactor: BareEpoll, turns: int = 50) -> None:
    """Run the loop until something stops it; so many turns are its end all the same."""
    left = turns
    poll = reactor.doPoll

    def one(timeout: float | None) -> None:
        nonlocal left
        left -= 1
        if not left:
            reactor._started = False
        poll(0 if timeout is None else min(timeout, 0.01))

    reactor.doPoll = one  # type: ignore[method-assign]
    reactor._started = reactor.running = True
    try:
        reactor.mainLoop()
    finally:
        reactor.doPoll = poll  # type: ignore[method-assign]
        reactor._started = reactor.running = False


def test_what_is_planned_is_run_in_its_order(reactor: BareEpoll) -> None:
    ran: list[str] = []
    reactor.callLater(0.02, ran.append, "third")
    reactor.callLater(0.01, ran.append, "second")
    reactor.callLater(0, ran.append, "first")
    moved, dropped = reactor.callLater(0, ran.append, "last"), reactor.callLater(0, crash)
    moved.reset(0.03)
    dropped.cancel()
    looped(reactor)
    assert ran == ["first", "second", "third", "last"]


def test_what_is_planned_by_what_is_planned_is_run_too(reactor: BareEpoll) -> None:
    ran: list[str] = []
    reactor.callLater(0, reactor.callLater, 0, ran.append, "then")
    reactor.callFromThread(ran.append, "from a thread")
    looped(reactor, 5)
    assert sorted(ran) == ["from a thread", "then"]


def test_nobody_waits_longer_than_until_what_is_planned(reactor: BareEpoll) -> None:
    assert reactor._wait() is None
    far = reactor.callLater(10_000_000, crash)
    assert reactor._wait() == LONGEST
    assert reactor._wait() == LONGEST
    soon = reactor.callLater(5, crash)
    for _ in range(2):
        wait = reactor._wait()
        assert wait is not None
        assert 4 < wait <= 5
    far.cancel()
    soon.cancel()


def test_what_was_cancelled_does_not_pile_up(reactor: BareEpoll) -> None:
    planned = [reactor.callLater(1_000, crash) for _ in range(4 * MOST_CANCELLED)]
    reactor._wait()
    for call in planned:
        call.cancel()
    reactor._wait()
    assert reactor._pendingTimedCalls == []


def test_a_fault_of_the_loop_itself_is_told_and_it_goes_on(
    reactor: BareEpoll, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    faults = iter([crash])
    wait = reactor._wait
    monkeypatch.setattr(reactor, "_wait", lambda: next(faults, wait)())
    reactor.callLater(0, crash)
    reactor.callLater(0, ran.append, "after it")
    looped(reactor, 5)
    assert ran == ["after it"]
    assert logged == ["a fault of its own", "a fault of its own"]


def test_a_loop_that_is_stopped_says_so(reactor: BareEpoll) -> None:
    told: list[str] = []
    reactor.addSystemEventTrigger("during", "shutdown", told.append, "stopped")
    reactor.callWhenRunning(reactor.callLater, 0, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert told == ["stopped"]


# -- what leaves at the end of a turn --------------------------------------------------------------


class Peer(tcp.Connection):
    """A connection of ours, and the socket at its other end."""

    def __init__(self, reactor: BareEpoll) -> None:
        near, self.far = socket.socketpair()
        near.setblocking(False)
        super().__init__(near, Protocol(), reactor)
        self.far.setblocking(False)
        self.connected = 1

    @property
    def got(self) -> bytes:
        try:
            return self.far.recv(1_000_000)
        except BlockingIOError:
            return b""

    def shut(self) -> None:
        self.socket.close()
        self.far.close()


@pytest.fixture
def peers(reactor: BareEpoll) -> Any:
    made = [Peer(reactor) for _ in range(MOST_POSTED)]
    reactor.turn.gathers = True
    yield made
    for peer in made:
        peer.shut()


def test_what_is_sent_leaves_at_the_end_of_the_turn(reactor: BareEpoll, peers: list[Peer]) -> None:
    senders = [Sender(peer) for peer in peers[:3]]
    for sender in senders:
        sender.send(b"one ")
    senders[0].send(b"two")
    assert [peer.got for peer in peers[:3]] == [b"", b"", b""]
    reactor.turn.end()
    assert [peer.got for peer in peers[:3]] == [b"one two", b"one ", b"one "]
    reactor.turn.end()
    assert peers[0].got == b""


def test_what_is_sent_for_several_events_leaves_together(
    reactor: BareEpoll, peers: list[Peer]
) -> None:
    readers = [Reader(reactor), Reader(reactor)]
    seen = []
    for reader, peer in zip(readers, peers, strict=False):
        reader.then = lambda peer=peer: (Sender(peer).send(b"sent"), seen.append(peer.got))
        reader.far.send(b"x")
    reactor.doIteration(0)
    assert seen == [b"", b""]
    assert [peer.got for peer in peers[:2]] == [b"sent", b"sent"]


def test_one_event_and_a_timed_call_wait_for_nobody(reactor: BareEpoll, peers: list[Peer]) -> None:
    reader, seen = Reader(reactor), []
    reader.then = lambda: (Sender(peers[0]).send(b"by an event"), seen.append(peers[0].got))
    reader.far.send(b"x")
    reactor.doIteration(0)
    assert seen == [b"by an event"]
    Sender(peers[1]).send(b"by a timed call")
    assert peers[1].got == b"by a timed call"


def test_no_turn_gathers_many(reactor: BareEpoll, peers: list[Peer]) -> None:
    for peer in peers:
        Sender(peer).send(b"x")
    assert [peer.got for peer in peers] == [b"x"] * MOST_POSTED


def test_what_is_large_does_not_wait_and_keeps_its_place(
    reactor: BareEpoll, peers: list[Peer]
) -> None:
    sender = Sender(peers[0])
    sender.send(b"first ")
    sender.send(b"y" * (SMALL + 1))
    assert peers[0].got == b"first " + b"y" * (SMALL + 1)
    sender.send(b"third ")
    sender.send_view(memoryview(b"fourth"))
    assert peers[0].got == b"third fourth"


def test_who_is_in_a_hurry_flushes_and_who_breaks_off_forgets(
    reactor: BareEpoll, peers: list[Peer]
) -> None:
    first, second, hasty = Sender(peers[0]), Sender(peers[1]), Sender(peers[2], at_once=True)
    first.send(b"last words")
    first.flush()
    second.send(b"never said")
    second.forget()
    hasty.send(b"now")
    assert (peers[0].got, peers[2].got) == (b"last words", b"now")
    reactor.turn.end()
    assert (peers[0].got, peers[1].got) == (b"", b"")


def test_what_the_socket_does_not_take_follows(reactor: BareEpoll, peers: list[Peer]) -> None:
    sender, data = Sender(peers[0]), b"z" * SMALL
    for _ in range(20):
        sender.send(data)
        reactor.turn.end()
    got = 0
    while more := len(peers[0].got):
        got += more
        reactor.doIteration(0)
    assert got == 20 * SMALL
