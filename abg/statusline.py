"""The line under the agent's prompt: what is spent, what is left, how long it lasts. Pure text.

``abg $1.23/$5.00 session · $5.34/$20 today · 9m to cap at this pace``
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from abg.commands import option, unblock
from abg.console import printable
from abg.home.present import duration
from abg.money import show

__all__ = ["DOWN", "Standing", "line", "raise_command", "session_name", "short", "standing"]

DOWN = "abg: proxy is not running"
WARN_AT = Decimal("0.8")
LONGEST = 24 * 60
"""Minutes: a cap further away than a day is nothing to show."""

ABSURD = Decimal(10) ** 15
"""USD that no status means: whoever sends this is broken, and the line stays short."""

PLAIN, DIM, GREEN, YELLOW, RED = "0", "2", "32", "33", "31"


class Standing(NamedTuple):
    """One session's place in its budgets."""

    name: str
    spent: Decimal
    limit: Decimal | None
    """USD; None: the session has no cap, or it is not known yet."""
    today: Decimal
    daily_limit: Decimal | None
    held: Decimal
    minutes_left: Decimal | None
    """At the pace of the last requests, until the first cap; None: unknown or far away."""
    requests: int
    stopped: str
    """Why no call passes: ``session``, ``daily``, ``budget``, ``blocked``, ``ledger``; or empty."""
    warns: bool
    locked: bool
    notional: bool
    """The calls are paid by a plan: the amount is a comparison, not a charge."""
    stopped_by: str = ""
    """The name of the budget, where it is another than the session's and the day's."""

    @property
    def left(self) -> Decimal | None:
        """USD until the first of the two caps; None without any."""
        rooms = [
            limit - spent
            for limit, spent in ((self.limit, self.spent), (self.daily_limit, self.today))
            if limit is not None
        ]
        return max(Decimal(0), min(rooms)) if rooms else None


def session_name(claude: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """The session as abg knows it: the path prefix of the base URL, else the agent's own id."""
    path = urlsplit(environ.get("ANTHROPIC_BASE_URL", "")).path.split("/")
    if len(path) > 2 and path[1] == "s" and path[2]:
        return unquote(path[2])
    given = claude.get("session_id")
    return given if isinstance(given, str) and given else "default"


def standing(status: Mapping[str, Any], name: str) -> Standing:
    """Where a session stands, from ``/abg/status``; what is missing there is left out here."""
    sessions = _mapping(status.get("sessions"))
    info = _mapping(_mapping(status.get("session_info")).get(name))
    budgets = [_mapping(b) for b in _listed(status.get("budgets"))]
    mine = [b for b in budgets if b.get("per") == "session" and b.get("key") == name]
    own = next((b for b in mine if _kind(b) == "session"), {})
    daily = next((b for b in budgets if _kind(b) == "daily"), {})
    spent = _amount(own.get("spent_usd", sessions.get(name))) or Decimal(0)
    limit = _amount(own.get("limit_usd", info.get("budget_usd")))
    today = _amount(status.get("today_total_usd")) or Decimal(0)
    daily_limit = _amount(daily.get("limit_usd"))
    pace = _amount(info.get("usd_per_minute")) or Decimal(0)
    stopped, stopped_by = _stopped(status, name, [own, daily, *mine])
    found = Standing(
        name=name,
        spent=spent,
        limit=limit,
        today=today,
        daily_limit=daily_limit,
        held=_amount(own.get("held_usd")) or Decimal(0),
        minutes_left=None,
        requests=_whole(info.get("requests")),
        stopped=stopped,
        warns=_over(own, spent) or _over(daily, today),
        locked=status.get("locked") is True,
        notional=info.get("auth") == "subscription",
        stopped_by=stopped_by,
    )
    left = found.left
    if left is not None and pace > 0 and not found.stopped and left / pace <= LONGEST:
        found = found._replace(minutes_left=left / pace)
    return found


def line(found: Standing, *, colour: bool = True) -> str:
    """One line for the terminal, coloured by state."""
    fine = found.limit is not None and found.limit < 1
    parts = [
        f"abg {short(found.spent, fine=fine)}{_slash(found.limit)} session",
        f"{short(found.today)}{_slash(found.daily_limit)} today",
    ]
    if found.notional:
        parts.append("notional, your plan pays")
    tone = YELLOW if found.warns else GREEN
    if found.stopped:
        parts.append(_remedy(found))
        tone = RED
    elif found.minutes_left is not None:
        pace = duration(found.minutes_left * 60)
        parts.append(f"{pace} to cap at this pace")
    return paint(" · ".join(parts), tone) if colour else " · ".join(parts)


def paint(text: str, tone: str) -> str:
    """The text in an ANSI colour."""
    return f"\x1b[{tone}m{text}\x1b[0m"


def short(amount: Decimal, *, fine: bool = False) -> str:
    """``$1.23``; a round amount from ten dollars on without cents: ``$20``.

    Args:
        fine: a tenth of a cent is told, for budgets of cents: ``$0.056``.
    """
    if fine:
        return show(amount, 3)
    if amount >= 10 and amount == amount.to_integral_value():
        return show(amount, 0)
    return show(amount)


def raise_command(found: Standing) -> str:
    """What lets a session go on that a budget has stopped."""
    if found.stopped == "session":
        whose = option("--session", printable(found.name))
    else:
        whose = option("--budget", printable(found.stopped_by or "daily"))
    return f"abg budget raise {whose} --by 5"


def _remedy(found: Standing) -> str:
    if found.stopped == "ledger":
        return "STOPPED: the ledger cannot be written (abg doctor)"
    if found.locked:
        return "STOPPED: budgets are locked"
    if found.stopped == "blocked":
        return f"STOPPED: {unblock(printable(found.stopped_by))}"
    return f"STOPPED: {raise_command(found)}"


def _stopped(
    status: Mapping[str, Any], name: str, budgets: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Why no call passes, and the budget that says so, or whose name is blocked."""
    ledger = _mapping(status.get("ledger"))
    if ledger.get("healthy") is False:
        return "ledger", ""
    blocked = _listed(status.get("blocked"))
    if "*" in blocked:
        return "blocked", "*"
    if name in blocked:
        return "blocked", name
    if status.get("block_on_limit") is False:
        return "", ""
    for budget in budgets:
        limit, spent = _amount(budget.get("limit_usd")), _amount(budget.get("spent_usd"))
        if limit is None or spent is None or budget.get("action", "block") != "block":
            continue
        if spent >= limit:
            kind = _kind(budget)
            return kind if kind in ("session", "daily") else "budget", str(budget.get("name", ""))
    return "", ""


def _kind(budget: Mapping[str, Any]) -> Any:
    """``session`` for the one that is the session's own, ``daily``, or ``budget``."""
    return budget.get("kind", budget.get("name"))


def _over(budget: Mapping[str, Any], spent: Decimal) -> bool:
    limit = _amount(budget.get("limit_usd"))
    if limit is None:
        return False
    shares = [_amount(m) for m in _listed(budget.get("warn_at"))]
    return spent >= limit * min((s for s in shares if s is not None), default=WARN_AT)


def _slash(limit: Decimal | None) -> str:
    return "" if limit is None else f"/{short(limit, fine=limit < 1)}"


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        found = Decimal(value) if isinstance(value, int) else Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < ABSURD else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()
