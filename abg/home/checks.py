"""What ``abg doctor`` concludes from what it found: each finding with its remedy. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from urllib.parse import urlsplit

from attrs import frozen

from abg.home import claude, codex
from abg.home.plan import LOCAL_NAMES, PROXIES, Problem

__all__ = [
    "FAIL",
    "NOTE",
    "OK",
    "Finding",
    "claude_goes",
    "codex_goes",
    "lines",
    "past_proxy",
    "price_age",
]

OK, NOTE, FAIL = "ok", "note", "FAIL"
OLD_DAYS = 60
"""Prices change about monthly; data of this age is worth a look."""


@frozen
class Finding:
    """One thing that was looked at."""

    level: str
    """``ok``; ``note``: worth knowing; ``FAIL``: calls would fail, or pass by uncounted."""
    subject: str
    text: str
    remedy: str = ""


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """As a person reads them: the remedy under each."""
    for found in findings:
        yield f"{found.level:<5} {found.subject}: {found.text}"
        if found.remedy:
            yield f"      {found.remedy}"


def claude_goes(
    files: Sequence[claude.Settings], environ: Mapping[str, str], port: int
) -> Iterator[Finding]:
    """Whether Claude Code, started plainly in this folder, would go through abg.

    Args:
        port: where abg listens, or would.
    """
    subject = "Claude Code"
    for file in files:
        if file.problem:
            yield Finding(NOTE, subject, f"{file.path} is ignored: {file.problem}", "Correct it")
    named = [
        (f.env["ANTHROPIC_BASE_URL"], f.path) for f in files if f.env.get("ANTHROPIC_BASE_URL")
    ]
    if environ.get("ANTHROPIC_BASE_URL"):
        # Weakest of all: any settings file beats the environment (measured).
        named.insert(0, (environ["ANTHROPIC_BASE_URL"], "the environment"))
    url, where = named[-1] if named else ("", "")
    found = claude.problems(files, environ, {"ANTHROPIC_BASE_URL": url if _here(url, port) else ""})
    if found:
        yield from _failed(subject, found)
    elif _here(url, port):
        yield Finding(OK, subject, f"goes through abg ({where} names {url})")
    elif url:
        yield Finding(
            NOTE,
            subject,
            f"started plainly, it goes to {url} ({where}), past abg",
            "Start it with: abg run -- claude; or point it at abg for good: abg init",
        )
    else:
        yield Finding(
            NOTE,
            subject,
            "started plainly, it goes to the vendor, past abg",
            "Start it with: abg run -- claude; or point it at abg for good: abg init",
        )


def codex_goes(
    files: Sequence[codex.CodexFile], environ: Mapping[str, str], port: int
) -> Iterator[Finding]:
    """Whether Codex, started plainly in this folder, would go through abg."""
    subject = "Codex"
    named = [(f.keys["openai_base_url"], f.path) for f in files if f.keys.get("openai_base_url")]
    url, where = named[-1] if named else ("", "")
    found = codex.problems((), files, url if _here(url, port) else "")
    if found:
        yield from _failed(subject, found)
    elif _here(url, port):
        yield Finding(OK, subject, f"goes through abg ({where} names {url})")
    else:
        yield Finding(
            NOTE,
            subject,
            f"started plainly, it goes to {url or 'the vendor'}, past abg",
            "Start it with: abg run -- codex; or point it at abg for good: abg init",
        )
    if environ.get("OPENAI_BASE_URL") and not _here(url, port):
        yield Finding(
            NOTE,
            subject,
            "OPENAI_BASE_URL is set, but Codex ignores it since 0.140",
            "Only openai_base_url in its config.toml counts: abg init writes it",
        )


def price_age(as_of: str, today: date) -> Finding:
    """Whether the built-in prices may be out of date.

    Args:
        as_of: the day of their last review, ``2026-11-24`` or ``2026-11``.
    """
    subject = "prices"
    try:
        reviewed = date.fromisoformat(as_of if len(as_of) > 7 else f"{as_of}-01")
    except ValueError:
        return Finding(NOTE, subject, "nobody knows how old the built-in prices are")
    days = (today - reviewed).days
    if days <= OLD_DAYS:
        return Finding(OK, subject, f"the built-in ones are of {as_of}")
    return Finding(
        NOTE,
        subject,
        f"the built-in ones are of {as_of}, {days} days old",
        "Install a newer abg, or compare: abg prices update --from FILE",
    )


def past_proxy(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the agents would ask a corporate proxy for a program on this machine."""
    proxy = next((name for name in PROXIES if environ.get(name)), None)
    if proxy is None:
        return
    named = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").replace(" ", "").split(",")
    if "*" in named or "127.0.0.1" in named:
        yield Finding(OK, "corporate proxy", f"{proxy} is set, and NO_PROXY names this machine")
        return
    yield Finding(
        FAIL,
        "corporate proxy",
        f"{proxy} is set: the agents would send even calls to 127.0.0.1 there",
        f"Set NO_PROXY={','.join(LOCAL_NAMES)} (abg run does that by itself)",
    )


def _failed(subject: str, problems: Sequence[Problem]) -> Iterator[Finding]:
    for problem in problems:
        yield Finding(FAIL, subject, problem.what, problem.remedy)


def _here(url: str, port: int) -> bool:
    try:
        parts = urlsplit(url)
        return parts.hostname in LOCAL_NAMES and parts.port == port
    except ValueError:
        return False
