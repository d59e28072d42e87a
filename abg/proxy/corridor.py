"""Where every request comes in: routed, checked, and given to the passage it takes.

read what is asked → identify whose session it is → admit → forward → meter → settle. What can be
decided without a socket is decided elsewhere; in this package the events of the two sides are put
in order: the client (``Handler``), the vendor (``AnswerListener``), and the guard's decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from abg.access import check_access
from abg.attribution import Attribution
from abg.bodies import BodyRooms
from abg.config import Config
from abg.dialects import DIALECTS, Refusal
from abg.exchange import Exchange, Handler, Upstreams
from abg.guard import Guard
from abg.proxy.answers import say
from abg.proxy.free import FreeCall
from abg.proxy.paid import PaidCall
from abg.proxy.papers import Papers
from abg.proxy.passage import Passage
from abg.routing import Kind, Router
from abg.vault import Forbidden, Vault, token_in

__all__ = ["Corridor"]

SECONDS_BETWEEN_LOOKS = 0.25
"""``cut_streams``: how often the cost of running streams is looked at."""
FORWARDED = frozenset((Kind.MODEL, Kind.UNMETERED, Kind.FREE, Kind.PASS))


def _never(seconds: float, function: Any) -> None:
    """Without a clock nothing is given up."""


class Corridor:
    """The application behind every door of abg.

    Args:
        guard: decides, prices, records.
        upstreams: the way to the vendors.
        vault: the vendors' keys, where abg holds them.
        durable: calls back once the ledger's lines so far are on disk; None: nobody waits for it.
        later: calls a function after so many seconds (``reactor.callLater``).
        check_host: False where a mounting site answers for the Host header itself.
    """

    def __init__(
        self,
        guard: Guard,
        router: Router,
        upstreams: Upstreams,
        config: Config,
        vault: Vault,
        *,
        durable: Callable[[Callable[[], None]], None] | None = None,
        later: Callable[[float, Any], Any] = _never,
        check_host: bool = True,
    ) -> None:
        self.guard = guard
        self.vault = vault
        self.durable = durable
        self.later = later
        self.router = router
        self.upstreams = upstreams
        self.config = config
        self.max_body = config.max_body_mb * 1_000_000
        self.rooms = BodyRooms(self.max_body, later)
        self.attribution = Attribution()
        self._check_host = check_host
        self._open: dict[Passage, None] = {}
        self._look: Any = None
        self.on_idle: Callable[[], None] = lambda: None

    @property
    def bound(self) -> tuple[str, int]:
        """Host and port that abg listens on."""
        return self.router.bound

    @bound.setter
    def bound(self, address: tuple[str, int]) -> None:
        self.router.bound = address

    def begin(self, exchange: Exchange) -> Handler:
        papers: Papers = exchange.kin.papers or self._papers(exchange)
        route, dialect = papers.route, papers.dialect
        if papers.refusal is not None:
            self.guard.tally.count("forbidden")
            return say(exchange, dialect.error(403, papers.refusal))
        kind = route.kind
        if kind in FORWARDED:
            try:
                headers, grant = self.vault.admit(route.upstream, exchange.headers, papers.token)
            except Forbidden as forbidden:
                self.guard.tally.count("forbidden")
                return say(exchange, dialect.refusal(str(forbidden), kind="spent"))
            if kind is Kind.MODEL or kind is Kind.UNMETERED:
                return self._enter(PaidCall(self, exchange, papers, headers, grant))
            return self._enter(FreeCall(self, exchange, papers, headers, grant))
        if kind is Kind.UPGRADE:
            self.guard.tally.count("upgrade_refused")
            return say(exchange, Refusal(426, b"Upgrade Required", [(b"Upgrade", b"HTTP/1.1")]))
        self.guard.tally.count("rejected")
        status = route.status or 404
        text = route.message or "abg knows no such path; it serves the Anthropic and OpenAI APIs"
        return say(exchange, dialect.error(status, text))

    def _papers(self, exchange: Exchange) -> Papers:
        headers, router = exchange.headers, self.router
        route = router.route(exchange.method, exchange.target, headers)
        papers = exchange.kin.papers = Papers(
            route,
            DIALECTS[route.dialect],
            headers,
            refusal=check_access(headers, self.config, *self.bound, check_host=self._check_host),
            token=token_in(headers),
            extra=router.extra_headers(route.upstream) if route.kind in FORWARDED else [],
        )
        return papers

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """A door refuses a request itself (head too large, …): in the dialect's shape."""
        route = self.router.route(exchange.method, exchange.target, exchange.headers)
        say(exchange, DIALECTS[route.dialect].error(status, message))

    @property
    def open(self) -> int:
        """Calls that are under way."""
        return len(self._open)

    def shut(self) -> None:
        """Settle and end everything that still runs; nobody is admitted in its stead."""
        self.guard.turn_away()
        for passage in list(self._open):
            passage.shut()
        if self._look is not None and self._look.active():
            self._look.cancel()

    def watch_streams(self) -> None:
        """A stream has begun that may have to be cut: look at all of them now and then."""
        if self._look is None or not self._look.active():
            self._look = self.later(SECONDS_BETWEEN_LOOKS, self._look_at_streams)

    def _look_at_streams(self) -> None:
        self._look = None
        if self.guard.cut_overruns():
            self.watch_streams()

    def _enter(self, passage: Passage) -> Handler:
        self._open[passage] = None
        passage.start()
        return passage

    def left(self, passage: Passage) -> None:
        self._open.pop(passage, None)
        if not self._open:
            self.on_idle()
