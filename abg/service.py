"""abg on its own port, and ``abg proxy``: from a configuration to a running program."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, error
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IListeningPort

from abg import __version__, console
from abg.config import Loaded
from abg.engine import Engine
from abg.errors import AbgError, ConfigError
from abg.signals import Signals
from abg.stdout import Console, tell
from abg.wire.inbound import FastLaneFactory
from abg.wire.late_site import LateSite

__all__ = ["Server", "raise_open_files", "run_proxy", "steady"]

LAST_BYTES_SECONDS = 2.0
BACKLOG = 2048
"""Pending connections the kernel keeps: with Twisted's 50, the slowest of 1,000 clients that
come at once waited 54 s (measured)."""


class Server:
    """abg on its own port: the fast lane, and behind it a ``Site`` with the same resource."""

    def __init__(
        self,
        loaded: Loaded,
        reactor: Any = None,
        say: Callable[[str], None] = tell,
        *,
        ephemeral: bool = False,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._loaded = loaded
        self._ephemeral = ephemeral
        self._reactor = reactor
        self._say = say
        self.engine: Engine | None = None
        self.port: IListeningPort | None = None
        self._factory: FastLaneFactory | None = None
        self.stop_program: Callable[[], None] = reactor.stop
        self._site: LateSite | None = None

    def start(self) -> None:
        """Raises:
        ConfigError: a busy port. LedgerLocked, LedgerUnavailable: see ``Engine``.
        """
        config = self._loaded.config
        engine = self.engine = Engine(config, self._reactor, say=self._say)
        site = self._site = LateSite(lambda: make_site(engine, self._reactor))
        factory = self._factory = FastLaneFactory(engine.corridor, site, reactor=self._reactor)
        try:
            self.port = self._reactor.listenTCP(
                config.port, factory, backlog=BACKLOG, interface=config.host
            )
        except error.CannotListenError as failure:
            engine.stop()
            raise ConfigError(
                f"cannot listen on {config.host}:{config.port}: {_why(failure)}. "
                "Is abg running already? Choose another with --port"
            ) from None
        host: Any = self.port.getHost()
        engine.on_stop = self.stop_program
        engine.corridor.bound = (host.host, host.port)
        engine.journal.announce(host.host, host.port, __version__)
        engine.start()
        if self._ephemeral:
            engine.live_on_leases()
        self._say(console.listening(host.host, host.port))
        self._say(console.budgets(config.session_budget_usd, config.daily_budget_usd))
        self._say(f"[abg] config: {self._loaded.path or 'defaults (no file)'}")
        self._say(f"[abg] ledger: {engine.ledger_path}")
        for note in self._loaded.notes:
            self._say(f"[abg] note: {note}")

    def hurry(self) -> None:
        """Settle and end what still runs, instead of waiting for it."""
        if self.engine is not None:
            self.engine.corridor.shut()

    def reopen(self) -> None:
        """The ledger has been moved away: begin a new file."""
        if self.engine is not None:
            self.engine.journal.reopen()

    def stop(self) -> defer.Deferred[None]:
        """Stop accepting, let what runs finish (``shutdown_grace_seconds``), settle the rest."""
        engine, port, factory, site = self.engine, self.port, self._factory, self._site
        if engine is None or port is None or factory is None or site is None:
            return defer.succeed(None)
        lanes = factory.drain()
        site.drain()
        closed = defer.maybeDeferred(port.stopListening)
        drained = closed.addCallback(lambda _: engine.drain())

        def last_bytes(_: object) -> defer.Deferred[None]:
            # The clients have their answers, but the kernel may still hold the last of them.
            timer = self._reactor.callLater(LAST_BYTES_SECONDS, factory.abort)
            lanes.addBoth(lambda _: timer.active() and timer.cancel())
            return lanes

        drained.addCallback(last_bytes)
        return drained.addBoth(lambda _: engine.stop())


def make_site(engine: Engine, reactor: Any) -> Any:
    """What serves ``/abg/`` and all that the fast lane hands over."""
    from abg.web.resource import GuardResource
    from abg.wire.site import GuardSite

    return GuardSite(GuardResource(engine=engine), engine.corridor, reactor=reactor)


def _why(failure: error.CannotListenError) -> str:
    cause = failure.socketError
    return getattr(cause, "strerror", None) or str(cause)


def run_proxy(loaded: Loaded, *, ephemeral: bool = False) -> int:
    """``abg proxy``: run until TERM or INT. Returns the exit code.

    Args:
        ephemeral: end by itself once the last lease (``abg run``) has ended.
    """
    if sys.platform == "linux":
        from abg.wire.epoll import install

        install()
    from twisted.internet import reactor

    steady(reactor)
    raise_open_files()
    out = Console(sys.stdout, reactor)
    server = Server(loaded, reactor, out.say, ephemeral=ephemeral)
    signals = Signals(reactor, server.hurry, server.reopen)
    server.stop_program = signals.stop
    signals.install()
    try:
        server.start()
    except (AbgError, OSError) as failure:
        print(f"[abg] {failure}", file=sys.stderr)
        return 2
    reactor.addSystemEventTrigger("before", "shutdown", server.stop)
    calm_collector()
    reactor.run()
    signals.forget()
    out.flush()
    return 0


def steady(reactor: Any) -> None:
    """Plan by a clock that nobody sets.

    Twisted plans by the time of day: set back by an hour, a call would wait an hour longer for
    what others hold, and nothing would be given up; set forward, every running answer would be
    broken as one whose vendor is silent. Only before anything is planned, and where the reactor
    has no clock of its own.
    """
    if type(reactor).seconds is ReactorBase.seconds and not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def calm_collector() -> None:
    """Keep the garbage collector from what never becomes garbage: the program itself.

    Otherwise it looks through all of it now and then, and every stream pauses for some 30 ms.
    Calls leave no cycles, so that it has little to find.
    """
    gc.collect()
    gc.freeze()


def raise_open_files() -> None:
    """A swarm needs two sockets a call: the soft limit of open files goes up to the hard one."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows has no such limit
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # pragma: no cover - macOS refuses "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (10240, hard))
