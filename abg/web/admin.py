"""``/abg/…``: what is going on, and power over money at run time.

Reading needs nothing. Changing state needs ``POST``, a JSON body and the admin token, so that no
web page and no plain link can do it; what frees money is refused under ``lock_budgets``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from importlib import resources
from typing import Any

import msgspec
from twisted.web.server import NOT_DONE_YET

from abg import __version__
from abg.access import check_access
from abg.attribution import safe_name
from abg.engine import Engine
from abg.errors import AbgError
from abg.ledger import sound
from abg.money import ZERO, as_written, is_meant, usd
from abg.shapes import Shape
from abg.tally import SessionTally

__all__ = ["Admin"]

TOKEN_HEADER = b"x-abg-admin-token"
MAX_BODY = 65536
LONGEST_RAISE = 315_360_000
"""Seconds; ten years."""
PAGE_MAY = (
    b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Its own text and ``/abg/status``, in nobody's frame: a name of a session that got through as
markup could send nothing anywhere."""
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Refused(AbgError):
    """A request to ``/abg/`` that is not carried out."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Admin:
    """The resource behind ``/abg/``; one method for each path."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._guard = engine.guard
        self._book = engine.book
        self._reads: Mapping[bytes, Callable[[Any], Any]] = {
            b"/abg/status": lambda request: self.status(_session(request), _recent(request)),
            b"/abg/healthz": lambda request: self.health(),
            b"/abg/budgets": lambda request: {
                "budgets": self.status(_session(request), 0)["budgets"]
            },
            b"/abg/holds": lambda request: {"holds": self.holds()},
        }
        self._acts: Mapping[bytes, Callable[[dict[str, Any]], Any]] = {
            b"/abg/reset": self.reset,
            b"/abg/budgets/raise": self.raise_budget,
            b"/abg/block": self.block,
            b"/abg/unblock": self.unblock,
            b"/abg/holds/void": self.void,
            b"/abg/lease": self.lease,
            b"/abg/stop": self.stop,
        }

    def render_path(self, request: Any, path: bytes) -> Any:
        """Answer one twisted.web request for a path under ``/abg``."""
        try:
            self._check_access(request)
            if request.method in (b"GET", b"HEAD"):
                if path in (b"/abg", b"/abg/"):
                    return self._page(request)
                return self._read(request, path)
            if request.method == b"POST":
                return self._act(request, path)
            raise Refused(405, "use GET to read and POST to change")
        except Refused as refused:
            return _json(request, refused.status, {"error": {"message": str(refused)}})

    # -- reading -------------------------------------------------------------------------------

    def status(self, session: str | None = None, recent: int | None = None) -> dict[str, Any]:
        """All that is known; of sessions only the one that is named, or those used last.

        A hundred thousand sessions are 2.6 MB and some 80 ms, a single one 0.2 ms
        (measured): who asks again and again says what he wants to see.
        """
        engine, guard = self._engine, self._guard
        config, now = engine.config, engine.clock()
        book = self._book.status(now, session, recent=recent)
        info = self._session_info(session, now)
        if recent is not None:
            # One that was only refused so far has spent nothing, and is shown all the same.
            info = {k: v for k, v in info.items() if k in book.sessions or not v["requests"]}
        return {
            "sessions": book.sessions,
            "today_total_usd": book.today_total,
            "budgets": book.budgets,
            "holds": self.holds(),
            "waiting": guard.waiting,
            "blocked": book.blocked,
            "counts": dict(guard.tally.counts),
            "session_info": info,
            "unknown_models": list(guard.tally.unknown_models),
            "unmetered": list(guard.tally.unmetered),
            "enforcement": config.enforcement,
            "block_on_limit": config.block_on_limit,
            "locked": config.lock_budgets,
            "subscription_budgets": config.subscription_budgets,
            "hook_tells_model": config.hook_tells_model,
            "custody": bool(config.credentials),
            "ephemeral": engine.ephemeral,
            "ledger": {
                "path": str(engine.ledger_path),
                "healthy": engine.journal.healthy,
                "problem": engine.journal.problem,
            },
            "config": str(config.source or ""),
            "version": __version__,
            "uptime_seconds": round((now - engine.started).total_seconds(), 1),
        }

    def _session_info(self, session: str | None, now: datetime) -> dict[str, Any]:
        """What sessions did since the start, and the limit in force of each one's own budget."""
        tallies: Mapping[str, SessionTally] = self._guard.tally.sessions
        if session is not None:
            known = tallies.get(session) or SessionTally(now)
            tallies = {session: known} if session else {}
        return {
            name: {**tally.as_dict(), "budget_usd": self._book.limit(now, session=name)}
            for name, tally in tallies.items()
        }

    def health(self) -> dict[str, Any]:
        journal = self._engine.journal
        if not journal.healthy and self._engine.config.on_ledger_error == "block":
            raise Refused(503, f"ledger cannot be written: {journal.problem}")
        return {"ok": True, "ledger": "ok" if journal.healthy else journal.problem}

    def holds(self) -> list[dict[str, Any]]:
        flights = {flight.id for flight in self._guard.airborne()}
        return [
            {
                "id": hold.id,
                "session": hold.scope.session,
                "model": hold.scope.model,
                "agent": hold.scope.agent,
                "usd": hold.amount,
                "since": hold.since.isoformat(),
                "sent": hold.id in flights,
            }
            for hold in self._book.holds()
        ]

    # -- acting --------------------------------------------------------------------------------

    def reset(self, body: dict[str, Any]) -> Any:
        session = safe_name(_text(body, "session"))
        self._unlocked()
        before = self._book.session_total(session, self._engine.clock())
        self._guard.event("reset", session_id=session, who=_who(body), total_usd=before)
        return {"session": session, "was_usd": before}

    def raise_budget(self, body: dict[str, Any]) -> Any:
        change: dict[str, Any] = {"who": _who(body)}
        whose: dict[str, str] = {}
        if "budget" in body:
            change["budget"] = whose["budget"] = _text(body, "budget")
            rows = {b.name: b for b in self._engine.config.budgets}
            row = rows.get(change["budget"])
            if row is None:
                raise Refused(404, f"there is no budget named {change['budget']!r}")
            if "session" in body and row.name != "daily" and Shape.of(row).per != "session":
                raise Refused(400, f"budget {row.name!r} has no part for each session")
        if "session" in body:
            change["session_id"] = whose["session"] = safe_name(_text(body, "session"))
        if not whose:
            raise Refused(400, "name a session or a budget")
        for key in ("by_usd", "to_usd"):
            if body.get(key) is not None:
                change[key] = _amount(body, key)
        if ("by_usd" in change) == ("to_usd" in change):
            raise Refused(400, "give either by_usd or to_usd")
        limit = self._book.limit(self._engine.clock(), **whose)
        if self._engine.config.lock_budgets:
            # Locked budgets can still be made smaller, as ``abg run --budget`` does.
            if "to_usd" not in change or (limit is not None and change["to_usd"] > limit):
                self._unlocked()
            change["at_most"] = True
        elif "by_usd" in change:
            if not change["by_usd"]:
                raise Refused(400, "by_usd is more than 0")
            if limit is None:
                raise Refused(400, "there is no limit that could be raised; give one as to_usd")
        if body.get("for_seconds") is not None:
            seconds = body["for_seconds"]
            number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
            if not number or not 0 < seconds <= LONGEST_RAISE:
                raise Refused(400, "for_seconds is a positive number, of ten years at most")
            change["for_seconds"] = max(1, int(seconds))
        self._guard.event("raise", **change)
        now_in_force = self._book.limit(self._engine.clock(), **whose)
        return {"raised": change, "was_usd": limit, "limit_usd": now_in_force}

    def block(self, body: dict[str, Any]) -> Any:
        session = "*" if body.get("all") is True else safe_name(_text(body, "session"))
        self._guard.event("block", session_id=session, who=_who(body))
        return {"blocked": session}

    def unblock(self, body: dict[str, Any]) -> Any:
        self._unlocked()
        session = "*" if body.get("all") is True else safe_name(_text(body, "session"))
        self._guard.event("unblock", session_id=session, who=_who(body))
        return {"unblocked": session, "blocked": self._book.blocked}

    def void(self, body: dict[str, Any]) -> Any:
        self._unlocked()
        id = _text(body, "id")
        if not self._guard.void(id):
            raise Refused(404, f"no running call holds money under the id {id!r}")
        return {"voided": id}

    def lease(self, body: dict[str, Any]) -> Any:
        ttl = body.get("ttl_seconds", 30)
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 <= ttl <= 3600:
            raise Refused(400, "ttl_seconds is a number from 0 to 3600")
        session, project = body.get("session"), body.get("project")
        if isinstance(session, str) and isinstance(project, str) and session and project:
            projects = self._engine.corridor.attribution.projects
            projects.works_on(safe_name(session), safe_name(project))
        self._engine.lease(_text(body, "id"), float(ttl))
        return {"leases": self._engine.leases}

    def stop(self, body: dict[str, Any]) -> Any:
        self._engine.reactor.callLater(0.05, self._engine.on_stop)
        return {"stopping": True}

    # -- inside --------------------------------------------------------------------------------

    def _check_access(self, request: Any) -> None:
        headers = [
            (name, value)
            for name, values in request.requestHeaders.getAllRawHeaders()
            for value in values
        ]
        engine = self._engine
        reason = check_access(
            headers, engine.config, *engine.corridor.bound, check_host=engine.check_host
        )
        if reason is not None:
            raise Refused(403, reason)

    def _read(self, request: Any, path: bytes) -> Any:
        read = self._reads.get(path)
        if read is None:
            raise Refused(404, "abg has no such page; try /abg/status")
        return _json(request, 200, read(request))

    def _act(self, request: Any, path: bytes) -> Any:
        act = self._acts.get(path)
        if act is None:
            raise Refused(404, "abg has no such action")
        given = request.getHeader(TOKEN_HEADER) or b""
        if isinstance(given, str):
            given = given.encode("latin-1", "replace")
        if not hmac.compare_digest(given, self._engine.admin_token.encode("ascii")):
            raise Refused(
                401, "this needs the admin token (header x-abg-admin-token; see abg --help)"
            )
        kind = (request.getHeader(b"content-type") or b"").lower()
        if not kind.startswith(b"application/json"):
            raise Refused(415, "the body must be application/json")
        raw = request.content.read(MAX_BODY + 1)
        if len(raw) > MAX_BODY:
            raise Refused(413, "the body is too large")
        try:
            body = msgspec.json.decode(raw or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise Refused(400, "the body is not a JSON object") from None
        try:
            return _json(request, 200, act(body))
        except Refused:
            raise
        except AbgError as error:
            raise Refused(503, str(error)) from None

    def _unlocked(self) -> None:
        if self._engine.config.lock_budgets:
            raise Refused(403, "budgets are locked by the configuration (lock_budgets: true)")

    def _page(self, request: Any) -> Any:
        page = resources.files("abg").joinpath("page/index.html").read_bytes()
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(b"content-security-policy", PAGE_MAY)
        request.setHeader(b"x-frame-options", b"DENY")
        _for_nobody_else(request)
        return page


def _for_nobody_else(request: Any) -> None:
    """What is told is kept nowhere, and taken for nothing but what it is."""
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"x-content-type-options", b"nosniff")


def _json(request: Any, status: int, value: Any) -> Any:
    try:
        body = _encode(value) + b"\n"
    except UnicodeEncodeError:
        # Half an emoji in a name may never cost the user the view of his money.
        body = _encode(sound(value)) + b"\n"
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    _for_nobody_else(request)
    request.setHeader(b"content-length", b"%d" % len(body))
    if request.method != b"HEAD":
        request.write(body)
    request.finish()
    return NOT_DONE_YET


def _session(request: Any) -> str | None:
    """The session that ``?session=NAME`` names, as abg writes it; None: all are meant."""
    given = request.args.get(b"session")
    return safe_name(given[-1].decode("utf-8", "surrogateescape")) if given else None


def _recent(request: Any) -> int | None:
    """How many sessions ``?recent=N`` asks for; None: all."""
    given = request.args.get(b"recent")
    if not given:
        return None
    if not given[-1].isdigit() or len(given[-1]) > 9:
        raise Refused(400, "recent is a number of sessions")
    return int(given[-1])


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value or len(value) > 512:
        raise Refused(400, f"{key} is missing, or not a text of 1 to 512 characters")
    return value


def _who(body: dict[str, Any]) -> str:
    who = body.get("who")
    return who[:128] if isinstance(who, str) else "api"


def _amount(body: dict[str, Any], key: str) -> Decimal:
    value = body[key]
    try:
        # A JSON number reaches us as a float; its shortest text is what was written.
        amount = usd(repr(value) if isinstance(value, float) else value)
    except ValueError as error:
        raise Refused(400, f"{key}: {error}") from None
    if amount < ZERO:
        raise Refused(400, f"{key} may not be negative")
    if not is_meant(amount):
        raise Refused(400, f"{key}: no amount of USD that could be meant: {as_written(value)}")
    return amount
