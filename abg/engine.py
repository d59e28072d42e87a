"""Guard, journal, upstreams and corridor, made from one configuration: what every server needs."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import defer, task

from abg.background import OpenCalls
from abg.book import Book
from abg.budget import Budget
from abg.config import Config
from abg.errors import ConfigError
from abg.guard import Guard
from abg.journal import Journal
from abg.keyring import Keyring
from abg.outcome import so_far
from abg.places import Places
from abg.pricing import PriceTable
from abg.proxy import Corridor
from abg.routing import Router
from abg.vault import Vault, read_keys
from abg.wholefile import read_whole
from abg.wire.outbound import Pool
from abg.wire.tunnel import Proxies

__all__ = ["Engine"]

NOTED_EVERY = 5
"""Seconds between two looks at what running calls have come to."""
FIRST_LEASE, FIRST_LEASE_SECONDS = "(start)", 60.0
"""Of a proxy that lives on leases: its own, until the first ``abg run`` takes one."""

LONGEST_TOKEN = 4096
"""Bytes of the file."""

LINGER_SECONDS = 0.05
"""From the end of the last lease to the stop: the answer to who gave it back still leaves."""


def counting_budgets(config: Config) -> tuple[Budget, ...]:
    """The budgets by which calls are judged: with ``subscription_budgets: ignore`` none of them
    speaks of calls that a plan pays for, unless its own ``match`` does."""
    if config.subscription_budgets == "count":
        return config.budgets
    paid = ("auth", ("api_key", "none"))
    return tuple(
        row
        if any(what == "auth" for what, _ in row.match)
        else evolve(row, match=(*row.match, paid), but_plans=True)
        for row in config.budgets
    )


def price_table(config: Config, places: Places) -> PriceTable:
    """The built-in prices, under those that ``abg prices update`` has written, under the user's.

    Raises:
        ConfigError: a wrong row.
    """
    table = PriceTable.builtin()
    try:
        data = read_whole(places.price_file)
    except FileNotFoundError:
        pass
    except OSError as problem:
        raise ConfigError(f"{places.price_file}: {problem.strerror}") from None
    else:
        table = table.with_file(data, str(places.price_file))
    return table.with_overrides(config.prices, config.unknown_model)


def proxies() -> Proxies:
    """The corporate proxy of the environment, if there is one.

    Raises:
        ConfigError: it is named in a way that cannot be used.
    """
    try:
        return Proxies.from_environment(os.environ)
    except ValueError as problem:
        raise ConfigError(f"HTTPS_PROXY: {problem}") from None


class _Now:
    """The time in UTC, in whole milliseconds, as the ledger keeps it (``abg.windows.instant``).

    A swarm asks several times in one; it is made once.
    """

    def __init__(self) -> None:
        self._milliseconds = -1
        self._moment = datetime.fromtimestamp(0, timezone.utc)

    def __call__(self) -> datetime:
        milliseconds = time.time_ns() // 1_000_000
        if milliseconds != self._milliseconds:
            self._moment = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
            self._milliseconds = milliseconds
        return self._moment


utc_now = _Now()


class Totals:
    """All that is folded from the ledger, as one: the journal's view of the guard's state."""

    def __init__(self, book: Book, opened: OpenCalls) -> None:
        self._book = book
        self._opened = opened

    def apply(self, record: Any) -> None:
        self._book.apply(record)
        if record.event is not None or record.open:  # nothing else is its business
            self._opened.apply(record)

    def dump(self) -> Any:
        return {"book": self._book.dump(), "open": self._opened.dump()}

    def load(self, data: Any) -> None:
        self._book.load(data["book"])
        self._opened.load(data["open"])

    def session_total(self, session_id: str) -> Decimal:
        return self._book.session_total(session_id)

    def digest(self) -> str:
        return self._book.digest()


class Engine:
    """Guard, journal, upstreams and corridor, made from one configuration.

    Args:
        config: a whole configuration.
        reactor: Twisted's, or a test's.
        say: takes console lines.
        mounted: the resource stands in somebody's ``Site``, who answers for the ``Host`` header
            unless ``allowed_hosts`` names the values to accept.

    Raises:
        ConfigError, LedgerLocked, LedgerUnavailable: it cannot start; the text says why.
    """

    def __init__(
        self,
        config: Config,
        reactor: Any,
        *,
        say: Callable[[str], None],
        places: Places | None = None,
        mounted: bool = False,
        allowed_hosts: tuple[str, ...] | None = None,
        clock: Callable[[], datetime] = utc_now,
        upstreams: Any = None,
    ) -> None:
        if allowed_hosts is not None:
            config = evolve(config, allowed_hosts=(*config.allowed_hosts, *allowed_hosts))
        self.config = config
        self.reactor = reactor
        self.places = places or Places.of(os.environ, sys.platform)
        self.clock = clock
        self.started = clock()
        self.check_host = not mounted or allowed_hosts is not None
        self.on_stop: Callable[[], None] = lambda: None
        keys = read_keys(config.credentials, os.environ)
        self.admin_token = admin_token(self.places.admin_token)
        self.ephemeral = False
        """It lives on leases, and ends with the last one."""
        self._leases: dict[str, Any] = {}
        self._ending: Any = None
        table = price_table(config, self.places)
        self.book = Book(
            counting_budgets(config),
            config.zone,
            enforcement=config.enforcement,
            block_on_limit=config.block_on_limit,
            busy_wait=timedelta(seconds=config.busy_wait_seconds),
            max_identical=config.max_identical_requests,
        )
        opened = OpenCalls()
        self.ledger_path = config.ledger_file or self.places.ledger
        self.journal = Journal.open(
            self.ledger_path,
            totals=Totals(self.book, opened),
            sync=config.ledger_sync,
            rotate=config.ledger_rotate,
            clock=clock,
            say=say,
            call_soon=reactor.callFromThread,
        )
        self.guard = Guard(
            config,
            table,
            self.book,
            opened,
            self.journal,
            clock=clock,
            monotonic=time.monotonic,
            new_id=Ids(),
            say=say,
        )
        self.guard.on_waiting = self._plan_wake
        self.pool = upstreams or Pool(
            reactor,
            ca_file=None if config.ca_file is None else str(config.ca_file),
            silence_seconds=config.upstream_silence_seconds,
            connect_seconds=config.connect_timeout_seconds,
            proxies=proxies(),
        )
        self.corridor = Corridor(
            self.guard,
            Router(config),
            self.pool,
            config,
            Vault(keys, Keyring(self.places.tokens, clock=clock)),
            durable=self.journal.durable if config.ledger_sync == "always" else None,
            later=reactor.callLater,
            check_host=self.check_host,
        )
        self._wake: Any = None
        self._ticks = 0
        self._ticker = task.LoopingCall(self._tick)
        self._ticker.clock = reactor

    def start(self) -> None:
        self._ticker.start(1.0, now=False)

    def drain(self) -> defer.Deferred[None]:
        """Fires once no call is under way, or after ``shutdown_grace_seconds``."""
        corridor = self.corridor
        done: defer.Deferred[None] = defer.Deferred()
        self.guard.turn_away()
        if not corridor.open:
            done.callback(None)
            return done

        def finish() -> None:
            if timer.active():
                timer.cancel()
            corridor.on_idle = lambda: None
            if not done.called:
                # One more turn of the reactor lets the last bytes leave.
                self.reactor.callLater(0, done.callback, None)

        timer = self.reactor.callLater(self.config.shutdown_grace_seconds, corridor.shut)
        corridor.on_idle = finish
        return done

    def stop(self) -> None:
        """Settle what is left, and close the ledger."""
        self.corridor.shut()
        if self._ticker.running:
            self._ticker.stop()
        for timer in (self._wake, self._ending, *self._leases.values()):
            if timer is not None and timer.active():
                timer.cancel()
        self.pool.close()
        self.journal.close()

    @property
    def leases(self) -> int:
        """How many ``abg run`` keep this proxy alive."""
        return len(self._leases) - (FIRST_LEASE in self._leases)

    def live_on_leases(self) -> None:
        """Stop with the last lease; at first there is one that bridges the time until whoever
        started this proxy takes his own, lest it lives for ever if he dies before."""
        self.ephemeral = True
        self.lease(FIRST_LEASE, FIRST_LEASE_SECONDS)

    def lease(self, id: str, ttl: float) -> None:
        """Keep the proxy alive for ``ttl`` seconds; 0 ends the lease. With the last one that
        ends, a proxy that was started for them stops, unless a new one comes at once."""
        if ttl > 0:
            self._drop_lease(FIRST_LEASE)
        self._drop_lease(id)
        if ttl > 0:
            self._leases[id] = self.reactor.callLater(ttl, self.lease, id, 0)
            if self._ending is not None and self._ending.active():
                self._ending.cancel()
            self._ending = None
        elif not self._leases and self.ephemeral and self._ending is None:
            self._ending = self.reactor.callLater(LINGER_SECONDS, self._end)

    def _drop_lease(self, id: str) -> None:
        timer = self._leases.pop(id, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _end(self) -> None:
        self.on_stop()

    def _tick(self) -> None:
        self.journal.tick()
        self.guard.wake()
        self._ticks += 1
        if self._ticks % NOTED_EVERY == 0:
            self.note_progress()

    def note_progress(self) -> None:
        """Tell the in-flight journal of calls that have come to more than is held for them, so
        that a crash does not charge them too little."""
        strict, now = self.config.enforcement == "strict", time.monotonic()
        for flight in self.guard.airborne():
            facts = so_far(flight, now - flight.sent_at, self.guard.table, strict=strict)
            if facts is not None:
                self.journal.progress(flight.id, facts)

    def _plan_wake(self) -> None:
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        due = self.guard.next_wake()
        if due is not None:
            delay = max(0.0, (due - self.clock()).total_seconds())
            self._wake = self.reactor.callLater(min(delay, 3600.0), self.guard.wake)


def admin_token(path: Path) -> str:
    """The secret that lets the user's own programs change budgets; made at the first start.

    Raises:
        ConfigError: it can neither be read nor made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            token = read_whole(path, LONGEST_TOKEN).decode("ascii").strip()
            if len(token) >= 32:
                with suppress(PermissionError):  # another user's, who lets us read it
                    path.chmod(0o600)
                return token
            # A file of our own in its place: the old one may be anybody's to read, or a link.
            path.unlink()
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        token = secrets.token_urlsafe(32)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(token + "\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"the admin token {path} cannot be read or made: {error}") from None
    return token


class Ids:
    """Ids that no other process and no earlier run has given: ``req_abg_5f3a…``."""

    def __init__(self) -> None:
        self._prefix = "req_abg_" + secrets.token_hex(6)
        self._next = 0

    def __call__(self) -> str:
        self._next += 1
        return f"{self._prefix}{self._next:06x}"
