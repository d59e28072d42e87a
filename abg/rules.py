"""Which budgets speak of a call, and which accounts it counts in.

``Rules`` compiles the table of budgets once. ``Rules.of(scope)`` gives a ``Selection`` (the
checks and accounts that a scope meets) and the scope's keys; a selection is shared by all scopes
that meet the same rows, so that an idle session costs nothing here.

Of the rows that are *the session's own budget* (``session_budget_usd``, and the rows that limit
whole sessions, for life, and say which by their names alone) the most specific one counts, and
only it: a literal name before a glob, then the glob with more literal characters, then the first.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from fnmatch import translate

from attrs import field, frozen

from abg.accounts import Accounts
from abg.budget import PER, Budget
from abg.call import Scope
from abg.shapes import Shape, Shapes
from abg.sums import Sums

__all__ = ["Check", "Keys", "Rules", "Selection"]

Keys = tuple[str, str, str, str, str, str, str]
"""What a call counts under, in the order of ``abg.budget.PER``."""

SESSION, SUBAGENT, EVERYTHING = (PER.index(per) for per in ("session", "subagent", "none"))
SEPARATOR = "\x1f"
"""Between a session and its sub-agent in a key; no name holds it (contract 8)."""
REMEMBERED = 4096
"""Groups of scopes, sessions and selections that are remembered."""

_WILD = frozenset("*?[")
_ONE = Decimal(1)

Add = Callable[[str, datetime, Decimal], None]
Test = tuple[int, Callable[[str], object]]
"""Which key, and whether it fits."""


@frozen(eq=False)
class Check:
    """One limit of one budget, over the accounts it looks at."""

    name: str
    budget: Budget
    kind: str
    """As ``Finding.kind``."""
    accounts: Accounts
    sums: Sums
    """Of the budget's window, in these accounts."""
    index: int
    """Which of a scope's keys names the account."""
    limit: Decimal | None
    """USD, or requests; as configured."""
    share: Decimal | None
    """Share of the limit from which it warns."""
    requests: bool = False
    """The limit is a number of requests."""
    rolling: bool = field(init=False)
    """Its window moves with the clock."""

    @rolling.default
    def _rolls(self) -> bool:
        return self.budget.window.kind == "rolling"

    @property
    def pooled(self) -> bool:
        """There is one account only."""
        return self.index == EVERYTHING


@frozen(eq=False)
class Selection:
    """What all scopes have in common that meet the same rows."""

    checks: tuple[Check, ...]
    """Limits that may block."""
    warners: tuple[Check, ...]
    """Limits that may warn."""
    dear: tuple[Check, ...]
    """Limits of one request; they block."""
    dear_warners: tuple[Check, ...]
    """Limits of one request that only warn."""
    money: tuple[tuple[Accounts, int], ...]
    """Where USD are held and counted, and under which key."""
    counts: tuple[tuple[Accounts, int], ...]
    """Where requests are."""
    adders: tuple[tuple[Add, int], ...]
    """What counts USD in each window of ``money``, for whoever counts a million calls at once."""


Unfit = tuple[int, ...]
"""Rows by their order in the table."""


class _Row:
    """A budget, compiled."""

    __slots__ = ("by_session", "checks", "counts", "dear", "money", "order", "own", "rank", "tests")

    def __init__(self, budget: Budget, order: int, shapes: Shapes) -> None:
        accounts = shapes.accounts(Shape.of(budget))
        sums, index = accounts.window(budget.window), PER.index(Shape.of(budget).per)
        self.own = _is_sessions_own(budget)
        self.order = order
        self.rank = (*_specificity(budget), -order)
        tests = [(PER.index(what), _matcher(what, globs)) for what, globs in budget.match]
        if budget.per == "subagent":
            tests.append((SUBAGENT, len))
        self.tests = [test for test in tests if test[0] not in (SESSION, SUBAGENT)]
        self.by_session = [test for test in tests if test[0] in (SESSION, SUBAGENT)]
        self.money = (accounts, index)
        kind = "session" if self.own else "daily" if budget.name == "daily" else "budget"
        limit, share = budget.limit_usd, _share(budget)
        self.checks = [Check(budget.name, budget, kind, accounts, sums, index, limit, share)]
        self.counts: list[tuple[Accounts, int]] = []
        if budget.max_requests is not None:
            counts = shapes.accounts(Shape.of(budget, requests=True))
            counted = counts.window(budget.window)
            most = Decimal(budget.max_requests)
            self.counts.append((counts, index))
            self.checks.append(
                Check(budget.name, budget, "requests", counts, counted, index, most, share, True)
            )
        self.dear: list[Check] = []
        most_usd = budget.max_usd_per_request
        if most_usd is not None:
            self.dear.append(
                Check(budget.name, budget, "request", accounts, sums, index, most_usd, None)
            )


def _rank(row: _Row) -> tuple[int, ...]:
    return row.rank


class _Group:
    """The rows that fit all that is not the session's or the sub-agent's name."""

    __slots__ = ("plain", "rows")

    def __init__(self, rows: list[_Row]) -> None:
        self.rows = rows
        self.plain: Selection | None = None
        """What every session of the group meets; None: it depends on the session."""


class Rules:
    """The table of budgets, compiled.

    Args:
        shapes: makes the accounts; those of the session's and the day's totals are always there.

    Raises:
        ValueError: two budgets of one name.
    """

    def __init__(self, budgets: Sequence[Budget], shapes: Shapes) -> None:
        if len({budget.name for budget in budgets}) < len(budgets):
            raise ValueError("two budgets have the same name")
        self._rows = [_Row(budget, order, shapes) for order, budget in enumerate(budgets)]
        self._base = ((shapes.by_session, SESSION), (shapes.all, EVERYTHING))
        self._subagents = any(budget.per == "subagent" for budget in budgets)
        self._groups: OrderedDict[tuple[str, str, str, str], _Group] = OrderedDict()
        self._named = [row for row in self._rows if row.by_session]
        self._unfit: OrderedDict[tuple[str, str], Unfit] = OrderedDict()
        """By session and sub-agent, whatever else their calls are."""
        self._met: OrderedDict[tuple[_Group, Unfit], Selection] = OrderedDict()
        self._selections: dict[tuple[int, ...], Selection] = {}
        self.simple = shapes.windows == len(self._base)
        """Nothing is counted but sessions for life, and days."""

    def of(self, scope: Scope) -> tuple[Selection, Keys]:
        """The selection of a scope, and its keys."""
        return self.parts(
            scope.session, scope.agent, scope.subagent, scope.model, scope.project, scope.auth
        )

    def parts(
        self, session: str, agent: str, subagent: str, model: str, project: str, auth: str
    ) -> tuple[Selection, Keys]:
        """The same, from the parts of a scope."""
        about = (agent, model, project, auth)
        group = self._groups.get(about) or self._group(about)
        selection = group.plain or self._by_session(group, session, subagent)
        if subagent and self._subagents:
            subagent = f"{session}{SEPARATOR}{subagent}"
        return selection, (session, agent, subagent, model, project, auth, "")

    def everything(self) -> list[list[Check]]:
        """The limits of each row, in the order of the table: the one in USD first."""
        return [row.checks for row in self._rows]

    def speaks(self, check: Check, key: str) -> bool:
        """Whether a limit counts for an account: another row may stand in its stead there."""
        if check.index != SESSION:
            return True
        fits = self._of_session(key)
        row = next((row for row in fits if check in row.checks), None)
        if row is None or not row.own:
            return row is not None
        return row is max((row for row in fits if row.own), key=_rank)

    def own(self, session: str) -> Check | None:
        """The limit of a session's own budget, in USD; None: no row is such."""
        rows = [row for row in self._of_session(session) if row.own]
        return max(rows, key=_rank).checks[0] if rows else None

    def named(self, name: str) -> Check | None:
        """The limit in USD of the budget of this name; None: there is no such row."""
        return next((row.checks[0] for row in self._rows if row.checks[0].name == name), None)

    # -- inside ------------------------------------------------------------------------------

    def _of_session(self, session: str) -> list[_Row]:
        """The rows that may speak of a session, by its name."""
        return [
            row
            for row in self._rows
            if all(test(session) for index, test in row.by_session if index == SESSION)
        ]

    def _group(self, about: tuple[str, str, str, str]) -> _Group:
        agent, model, project, auth = about
        values = ("", agent, "", model, project, auth)
        rows = [row for row in self._rows if all(test(values[i]) for i, test in row.tests)]
        group = _Group(rows)
        if not any(row.by_session for row in rows):
            group.plain = self._selection(rows)
        self._groups[about] = group
        if len(self._groups) > REMEMBERED:
            self._groups.popitem(last=False)
        return group

    def _by_session(self, group: _Group, session: str, subagent: str) -> Selection:
        where = (session, subagent)
        unfit = self._unfit.get(where)
        if unfit is None:
            values = (session, "", subagent)
            unfit = self._unfit[where] = tuple(
                row.order
                for row in self._named
                if not all(test(values[i]) for i, test in row.by_session)
            )
            if len(self._unfit) > REMEMBERED:
                self._unfit.popitem(last=False)
        found = self._met.get((group, unfit))
        if found is None:
            rows = [row for row in group.rows if row.order not in unfit]
            found = self._met[group, unfit] = self._selection(rows)
            if len(self._met) > REMEMBERED:
                self._met.popitem(last=False)
        return found

    def _selection(self, rows: list[_Row]) -> Selection:
        own = [row for row in rows if row.own]
        if len(own) > 1:
            winner = max(own, key=_rank)
            rows = [row for row in rows if not row.own or row is winner]
        which = tuple(row.order for row in rows)
        found = self._selections.get(which)
        if found is None:
            if len(self._selections) >= REMEMBERED:
                self._selections.clear()
            found = self._selections[which] = self._select(rows)
        return found

    def _select(self, rows: list[_Row]) -> Selection:
        # Also those without a limit: one can be set at run time.
        limits = [check for row in rows for check in row.checks]
        dear = [check for row in rows for check in row.dear]
        money = dict.fromkeys([*self._base, *(row.money for row in rows)])
        return Selection(
            checks=tuple(check for check in limits if check.budget.action == "block"),
            warners=tuple(check for check in limits if check.share is not None),
            dear=tuple(check for check in dear if check.budget.action == "block"),
            dear_warners=tuple(check for check in dear if check.budget.action == "warn"),
            money=tuple(money),
            counts=tuple(dict.fromkeys(counted for row in rows for counted in row.counts)),
            adders=tuple((add, index) for accounts, index in money for add in accounts.adders),
        )


def _is_sessions_own(budget: Budget) -> bool:
    if budget.name == "session":
        return True
    told = [what for what, _ in budget.match if what != "auth" or not budget.but_plans]
    if budget.window.kind != "lifetime" or told != ["session"]:
        return False
    if budget.limit_usd is None and (budget.max_requests, budget.max_usd_per_request) != (
        None,
        None,
    ):
        return False  # it says nothing of the session's spend
    return Shape.of(budget).per == "session"


def _specificity(budget: Budget) -> tuple[int, int]:
    """How closely the least close of its globs names a session."""
    globs = dict(budget.match).get("session", ())
    if not globs:
        return (0, 0)
    return min(
        (1, len([c for c in glob if c not in _WILD])) if _WILD & set(glob) else (2, len(glob))
        for glob in globs
    )


def _share(budget: Budget) -> Decimal | None:
    shares = [*budget.warn_at, *([_ONE] if budget.action == "warn" else [])]
    return min(shares) if shares else None


def _matcher(what: str, globs: tuple[str, ...]) -> Callable[[str], object]:
    if not any(_WILD & set(glob) for glob in globs) and what != "model":
        return frozenset(globs).__contains__
    # Vendors' model names are lower case, whatever the client or the user writes.
    flags = re.IGNORECASE if what == "model" else 0
    return re.compile("|".join(f"(?:{translate(glob)})" for glob in globs), flags).match
