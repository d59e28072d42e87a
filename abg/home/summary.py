"""What one ``abg run`` cost, from the proxy's status before and after. Pure text and data."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from attrs import frozen

from abg.commands import option
from abg.console import printable
from abg.home.present import many, money, share
from abg.statusline import Standing

__all__ = ["Summary", "as_json", "as_markdown", "closing_line", "summary"]

COUNTS = (
    "requests",
    "blocked",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
)


@frozen
class Summary:
    """One run: what it added to its session, and where the session stands now."""

    session: str
    cost: Decimal
    total: Decimal
    limit: Decimal | None
    requests: int
    blocked: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    exit_code: int
    stopped: str
    """Why no call passes any more (see ``Standing``); empty while calls pass."""
    locked: bool = False
    """Nobody may raise a budget."""

    @property
    def tokens(self) -> int:
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
        )

    @property
    def read_tokens(self) -> int:
        """All that went in."""
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


def summary(
    before: tuple[Standing, Mapping[str, Any]],
    after: tuple[Standing, Mapping[str, Any]],
    exit_code: int,
) -> Summary:
    """The difference between two looks at one session.

    Args:
        before, after: where the session stands, and its ``session_info``.
    """
    then, first = before
    now, last = after
    counts = {name: max(0, _int(last, name) - _int(first, name)) for name in COUNTS}
    return Summary(
        session=now.name,
        cost=max(Decimal(0), now.spent - then.spent),
        total=now.spent,
        limit=now.limit,
        exit_code=exit_code,
        stopped=now.stopped,
        locked=now.locked,
        **counts,
    )


def closing_line(s: Summary) -> str:
    """The one line that ``abg run`` ends with."""
    if not s.requests and not s.blocked and not s.cost:
        return f"abg: no call came through; session {printable(s.session)} at {money(s.total)}"
    spent = f"{money(s.cost)} for {many(s.requests, 'request')}, {_tokens(s.tokens)} tokens"
    if s.read_tokens:
        spent += f" ({share(Decimal(s.cache_read_tokens), s.read_tokens)} of the input from cache)"
    where = f"session {printable(s.session)} at {money(s.total)}"
    if s.limit is not None:
        where += f" of {money(s.limit)}"
    parts = [spent, where]
    if s.blocked:
        parts.append(f"{many(s.blocked, 'request')} blocked")
    if s.blocked and s.stopped == "session" and s.limit is not None and not s.locked:
        # The proxy that the refusal's own remedy speaks to may end together with this run.
        more = max(s.limit, s.total).to_integral_value(ROUND_CEILING) + 5
        name = option("--session", printable(s.session))
        parts.append(f"to go on: abg run {name} --budget {more} -- …")
    return "abg: " + "; ".join(parts)


def as_json(s: Summary) -> dict[str, Any]:
    """For a program; amounts are numbers in USD."""
    return {
        "session": s.session,
        "cost_usd": s.cost,
        "session_total_usd": s.total,
        "session_budget_usd": s.limit,
        "requests": s.requests,
        "blocked": s.blocked,
        "input_tokens": s.input_tokens,
        "output_tokens": s.output_tokens,
        "cache_read_tokens": s.cache_read_tokens,
        "cache_write_tokens": s.cache_write_tokens,
        "exit_code": s.exit_code,
        "stopped": s.stopped or None,
    }


def as_markdown(s: Summary) -> str:
    """For the summary page of a CI job."""
    name = printable(s.session).replace("|", "\\|").replace("`", "'")
    limit = "none" if s.limit is None else money(s.limit)
    rows = (
        ("Cost of this run", money(s.cost)),
        ("Session", f"`{name}`, {money(s.total)} of {limit}"),
        ("Requests", f"{s.requests}, {s.blocked} blocked"),
        ("Input", f"{s.input_tokens:,} tokens"),
        ("From cache", f"{s.cache_read_tokens:,} tokens"),
        ("Into cache", f"{s.cache_write_tokens:,} tokens"),
        ("Output", f"{s.output_tokens:,} tokens"),
        ("Exit code", str(s.exit_code)),
    )
    body = "\n".join(f"| {what} | {value} |" for what, value in rows)
    title = "stopped by its budget" if s.blocked else "within its budget"
    return f"### abg: {title}\n\n| | |\n| --- | --- |\n{body}\n"


def _int(info: Mapping[str, Any], name: str) -> int:
    value = info.get(name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _tokens(number: int) -> str:
    """``812``, ``45.1k``, ``1.2M``."""
    if number < 1000:
        return str(number)
    if number < 1_000_000:
        return f"{number / 1000:.1f}k"
    return f"{number / 1_000_000:.1f}M"
