"""What abg is to do: one immutable value, complete without any file.

Meaning, unit and default of each field stand in the documentation (``docs/configuration.md``),
which is made from ``keys``; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timezone as utc_zone
from datetime import tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import field, frozen
from attrs.converters import optional

from abg.budget import Budget, daily_budget, session_budget
from abg.config.zone import MACHINE_ZONE
from abg.money import usd

__all__ = ["Config", "HeaderFields", "Loaded"]

HeaderFields = tuple[tuple[str, str], ...]


def _shares(value: Decimal | Iterable[Decimal]) -> tuple[Decimal, ...]:
    return (value,) if isinstance(value, Decimal) else tuple(value)


def _nothing() -> Mapping[str, Any]:
    return {}


@frozen
class Config:
    """The whole configuration; ``Config()`` is the one of a user without a file."""

    session_budget_usd: Decimal | None = field(default=Decimal("5.0"), converter=optional(usd))
    daily_budget_usd: Decimal | None = field(default=Decimal("20.0"), converter=optional(usd))
    warn_at: tuple[Decimal, ...] = field(default=(Decimal("0.8"),), converter=_shares)
    block_on_limit: bool = True
    budgets: tuple[Budget, ...] = ()
    """All rows: that of the session and that of the day, which the fields above make, first."""

    enforcement: str = "estimate"
    busy_wait_seconds: float = 60
    strict_min_output_tokens: int = 1024
    counter_margin: Decimal = Decimal("0.02")
    counter_margin_tokens: int = 512
    account_tier: str | None = None
    account_geo: str | None = None
    max_identical_requests: int | None = None
    cut_streams: bool = False
    lock_budgets: bool = False
    subscription_budgets: str = "count"

    prices: Mapping[str, Any] = field(factory=_nothing)
    unknown_model: str | Mapping[str, Any] = "dearest"

    host: str = "127.0.0.1"
    port: int = 8788
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body_mb: int = 64
    shutdown_grace_seconds: float = 30

    upstream_anthropic: str = "https://api.anthropic.com"
    upstream_openai: str = "https://api.openai.com"
    upstream_chatgpt: str = "https://chatgpt.com/backend-api/codex"
    upstream_headers: Mapping[str, HeaderFields] = field(factory=_nothing, repr=False)
    """Values may be secrets: they never stand in a message."""
    ca_file: Path | None = None
    connect_timeout_seconds: float = 30
    upstream_silence_seconds: float = 900
    credentials: Mapping[str, str] = field(factory=_nothing)

    ledger_file: Path | None = None
    ledger_sync: str = "interval"
    ledger_rotate: str = "never"
    on_ledger_error: str = "block"
    timezone: str | None = None

    hook_tells_model: bool = False

    source: Path | None = None
    """The file it came from; None: no file."""

    def __attrs_post_init__(self) -> None:
        own = (
            session_budget(self.session_budget_usd, self.warn_at),
            daily_budget(self.daily_budget_usd, self.warn_at),
        )
        # Nobody else's row may have these two names, so that evolving a Config renews them.
        rest = tuple(row for row in self.budgets if row.name not in ("session", "daily"))
        object.__setattr__(self, "budgets", own + rest)

    @property
    def zone(self) -> tzinfo:
        """Whose midnight ends the day."""
        if self.timezone is None:
            return MACHINE_ZONE
        if self.timezone == "UTC":
            # Known also where the system has no database of zones.
            return utc_zone.utc
        from zoneinfo import ZoneInfo

        return ZoneInfo(self.timezone)


@frozen
class Loaded:
    """A configuration that was read, and what its user should know of it."""

    config: Config
    notes: tuple[str, ...] = ()
    path: Path | None = None
    """The file in use; None: there is none."""
