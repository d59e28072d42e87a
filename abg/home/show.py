"""The script of ``abg demo``: what the agent asks, and what the fake vendor answers. Pure."""

from __future__ import annotations

from typing import Any

from attrs import frozen

__all__ = ["CAP_USD", "CONTINUED", "MODEL", "TURNS", "Turn", "config", "vendor_script"]

CAP_USD = "0.05"
MODEL = "claude-sonnet-4-6"


@frozen
class Turn:
    """One call of the agent, and what the model says to it."""

    asks: str
    hears: str
    cached: int
    """Tokens of the context that were read from the cache: it grows from turn to turn."""

    @property
    def usage(self) -> dict[str, int]:
        return {
            "input_tokens": 1200,
            "cache_creation_input_tokens": 2000,
            "cache_read_input_tokens": self.cached,
            "output_tokens": 350,
        }


TURNS = (
    Turn("Fix the failing test in parser.py.", "I look at the test first.", 0),
    Turn("(the test's source)", "An off-by-one error. I change line 40.", 8000),
    Turn("(the tests, still red)", "Not that one, then. I try the other end.", 16000),
    Turn("(the tests, still red)", "Let me rewrite the whole parser.", 24000),
    Turn("(never asked)", "(never answered)", 32000),
)
"""The third one crosses five cents; the fourth is refused."""

CONTINUED = Turn("continue", "Found it: the test itself was wrong. Done.", 24000)


def vendor_script(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    """The answers, one for each turn, for ``abg.testing``."""
    return [{"text": turn.hears, "usage": turn.usage} for turn in turns]


def config(vendor_url: str) -> str:
    """The demo's own configuration."""
    return (
        f"session_budget_usd: {CAP_USD}\n"
        "daily_budget_usd: 1\n"
        "ledger_file: ledger.jsonl\n"
        f"upstream_anthropic: {vendor_url}\n"
    )
