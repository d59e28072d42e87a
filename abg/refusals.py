"""What a refused user reads: why, and the one command that helps. Pure text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from urllib.parse import quote

from abg.call import Headers, Scope
from abg.commands import option, unblock
from abg.console import spoken
from abg.decision import Decision
from abg.finding import Finding

__all__ = ["decision_headers", "refusal_text"]

PREFIX = "[abg] "
LOCKED = "Budgets are locked by the configuration (lock_budgets)."


def refusal_text(
    decision: Decision, scope: Scope, *, locked: bool, zone: tzinfo, notional: bool = False
) -> str:
    """``[abg] Session budget exhausted: $5.14 >= $5.00. Raise it with: …``.

    Args:
        decision: blocked, with at least one finding.
        zone: the user's, for times.
        locked: budgets cannot be raised at run time.
        notional: the call is paid by a subscription, which is not charged by this amount.
    """
    findings = decision.findings
    sentences = ["; ".join(f.message() for f in findings)]
    if notional:
        sentences.append("The amount is notional: your plan is not charged by it")
    frees = _frees(findings)
    if frees is not None:
        sentences.append(f"It frees up at {spoken(frees.astimezone(zone))}")
    if decision.busy:
        sentences.append("Ask again when they have ended")
    return PREFIX + ". ".join([*sentences, _remedy(findings[0], scope, locked=locked)])


def decision_headers(verdict: str, scope: Scope, findings: Sequence[Finding]) -> Headers:
    """The headers by which a program tells abg's refusal from a vendor's."""
    headers = [
        (b"x-abg-decision", verdict.encode("ascii")),
        # A header value is ASCII: other characters of a session's name are percent-encoded.
        (b"x-abg-session", quote(scope.session, safe=" /:@~!$&'()*+,;=").encode("ascii")),
    ]
    if findings:
        names = ", ".join(quote(f.budget, safe=" ~") for f in findings)
        headers.append((b"x-abg-budget", names.encode("ascii")))
    return headers


def _frees(findings: Sequence[Finding]) -> datetime | None:
    times = [f.frees_at for f in findings if f.frees_at is not None]
    return min(times) if times else None


def _remedy(finding: Finding, scope: Scope, *, locked: bool) -> str:
    if finding.kind == "requests":
        return "Its number of requests is max_requests in the configuration"
    if finding.kind == "request":
        return "Ask for less at once, or change max_usd_per_request in the configuration"
    if finding.kind == "strict":
        return "Leave that part out, or use enforcement: estimate"
    if finding.kind == "unknown_model":
        return "Add its price under prices: in the configuration, or allow it there"
    if locked:
        return LOCKED
    session = option("--session", scope.session)
    if finding.kind == "blocked":
        who = "them" if finding.key == "*" else "it"
        return f"Let {who} go on with: {unblock(finding.key)}"
    if finding.kind == "loop":
        return f"Look at what it repeats; start again with: abg reset {session}"
    if finding.kind == "session":
        return f"Raise it with: abg budget raise {session} --by 5"
    return f"Raise it with: abg budget raise {option('--budget', finding.budget)} --by 5"
