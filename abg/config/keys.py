"""Every key of the configuration: its kind, its meaning, and who may set it.

Validation, ``agentbillguard.yaml.example`` and ``docs/configuration.md`` are all made from this one
table; the defaults stand in ``Config``. Pure.
"""

from __future__ import annotations

from attrs import frozen

from abg.config.checks import (
    check_host,
    check_host_name,
    check_origin,
    check_rotation,
    check_upstream,
    check_zone,
)
from abg.config.kinds import (
    Amount,
    Flag,
    Kind,
    OneOf,
    Seconds,
    Share,
    Shares,
    Text,
    Texts,
    Whole,
)
from abg.config.tables import BudgetRows, Credentials, HeaderTables, PriceRows, UnknownModel

__all__ = ["ENVIRONMENT", "KEYS", "PATHS", "Key"]


@frozen
class Key:
    """One key."""

    name: str
    kind: Kind
    doc: str
    """Full sentences, for the example and the documentation."""
    group: str
    found: bool = False
    """A file that was merely found in the working folder may set it (contract 1)."""
    example: str = ""
    """What the example file shows, if not the default; several lines for a table."""

    @property
    def variable(self) -> str:
        return f"ABG_{self.name.upper()}"


def _path(text: str) -> str:
    return text


_BUDGETS = "Budgets"
_HOLD = "How caps hold"
_PRICES = "Prices"
_SERVER = "Where abg listens"
_VENDORS = "Where calls go"
_LEDGER = "The ledger and the calendar"
_AGENTS = "Agents"

_TABLE: tuple[Key, ...] = (
    Key(
        "session_budget_usd",
        Amount(),
        "What one coding session may spend in its whole life. 0: nothing. null: no such cap.",
        _BUDGETS,
        found=True,
    ),
    Key(
        "daily_budget_usd",
        Amount(),
        "What all sessions together may spend in a day. 0: nothing. null: no such cap.",
        _BUDGETS,
        found=True,
    ),
    Key(
        "warn_at",
        Shares(),
        "Warn from this share of a budget on; several shares as a list: [0.5, 0.9].",
        _BUDGETS,
        found=True,
    ),
    Key(
        "block_on_limit",
        Flag(),
        "false: only warn, and say in the ledger what would have been blocked.",
        _BUDGETS,
        found=True,
    ),
    Key(
        "budgets",
        BudgetRows(),
        "Further budgets. `per` counts by session, agent, subagent, model, project, auth or none; "
        "`match` takes only calls whose session, agent, … fit a glob; `window` is lifetime, a "
        "rolling time (90s, 10m, 6h) or a calendar day, week or month; `action` is block or warn. "
        "`max_requests` and `max_usd_per_request` are limits as well.",
        _BUDGETS,
        found=True,
        example="""\
  - {name: runaway, per: session, window: 10m, limit_usd: 8}
  - {name: opus, match: {model: "claude-opus-*"}, window: day, limit_usd: 10}
  - {name: bugfixes, match: {session: "bugfix-*"}, per: session, limit_usd: 2, warn_at: [0.5, 0.9]}
  - {name: codex, match: {agent: codex}, window: month, limit_usd: 100, action: warn}""",
    ),
    Key(
        "enforcement",
        OneOf(("estimate", "strict", "after")),
        "estimate: running calls hold what they will probably cost, so that a swarm behaves like "
        "one agent. strict: the cap is never crossed, by a proven bound for each call. after: the "
        "plain rule, without holds.",
        _HOLD,
    ),
    Key(
        "busy_wait_seconds",
        Seconds(3600),
        "How long a call waits for money that running calls hold, before it is refused as busy. "
        "Clients give up on silence after 180 to 300 seconds.",
        _HOLD,
    ),
    Key(
        "max_identical_requests",
        Whole(1, 1_000_000, nullable=True),
        "Block a session that sends the same last message so many times in a row within one "
        "thread. null: never.",
        _HOLD,
    ),
    Key(
        "cut_streams",
        Flag(),
        "End a running answer when the cap is reached, in the way after which the agent stops. "
        "The half answer is paid for and lost.",
        _HOLD,
    ),
    Key(
        "lock_budgets",
        Flag(),
        "Forbid all that frees money while abg runs: raise, unblock, reset, voiding a hold.",
        _HOLD,
    ),
    Key(
        "subscription_budgets",
        OneOf(("count", "ignore")),
        "Whether calls of a Claude or ChatGPT plan count into budgets; their cost is notional.",
        _HOLD,
    ),
    Key(
        "strict_min_output_tokens",
        Whole(1, 1_000_000),
        "strict: the output allowance is never lowered below this many tokens.",
        _HOLD,
    ),
    Key(
        "counter_margin",
        Share(),
        "strict: share by which a vendor's own count of input tokens may be short.",
        _HOLD,
    ),
    Key(
        "counter_margin_tokens",
        Whole(0, 1_000_000),
        "strict: tokens by which it may be short besides.",
        _HOLD,
    ),
    Key(
        "account_tier",
        Text("a service tier such as standard or priority, or null", _path),
        "strict: the service tier of your account, where a request leaves it open. null: the "
        "dearest that the price table lists.",
        _HOLD,
    ),
    Key(
        "account_geo",
        Text("a region such as us or global, or null", _path),
        "strict: the inference region of your account, where a request leaves it open. null: the "
        "dearest.",
        _HOLD,
    ),
    Key(
        "prices",
        PriceRows(),
        "Prices of your own, by model: USD per million tokens; they win over the built-in table "
        "(docs/money.md has all keys).",
        _PRICES,
        found=True,
        example="""\
  my-model: {vendor: openai, input: "1.25", cache_read: "0.125", output: "10"}""",
    ),
    Key(
        "unknown_model",
        UnknownModel(),
        "What a model costs that no price is known of. dearest: the dearest of its family, marked "
        "as assumed. block: it is refused. Or a price row for all of them.",
        _PRICES,
    ),
    Key("port", Whole(0, 65535), "The port; 0 takes a free one.", _SERVER, found=True),
    Key(
        "host",
        Text("an address such as 127.0.0.1", check_host, nullable=False),
        "The address. Whoever can reach it can spend: beyond loopback, give abg the keys "
        "(credentials) and the agents tokens.",
        _SERVER,
    ),
    Key(
        "allowed_hosts",
        Texts("a list of host names", check_host_name),
        "Names under which abg may be spoken to, besides loopback and its address: values of the "
        "Host header.",
        _SERVER,
    ),
    Key(
        "allowed_origins",
        Texts("a list of origins", check_origin),
        "Web pages that may speak to abg: values of the Origin header.",
        _SERVER,
    ),
    Key("max_body_mb", Whole(1, 1024), "A larger request body is refused (413).", _SERVER),
    Key(
        "shutdown_grace_seconds",
        Seconds(3600),
        "How long running answers may go on after TERM or INT.",
        _SERVER,
    ),
    Key(
        "upstream_anthropic",
        Text("a URL", check_upstream, nullable=False),
        "Where Anthropic calls go: origin and, for a gateway, a base path, without /v1.",
        _VENDORS,
    ),
    Key(
        "upstream_openai",
        Text("a URL", check_upstream, nullable=False),
        "Where OpenAI calls go, likewise.",
        _VENDORS,
    ),
    Key(
        "upstream_chatgpt",
        Text("a URL", check_upstream, nullable=False),
        "Where Codex's calls with a ChatGPT login go; no /v1 is added.",
        _VENDORS,
    ),
    Key(
        "upstream_headers",
        HeaderTables(),
        "Headers to add to each call, by upstream (anthropic, openai, chatgpt). A value may be "
        "env:NAME.",
        _VENDORS,
        example="""\
  openai: {x-team: research, x-gateway-key: "env:GATEWAY_KEY"}""",
    ),
    Key(
        "credentials",
        Credentials(),
        "Where the vendors' keys are, if abg alone is to hold them: env:NAME or file:PATH. "
        "Clients then present a token (abg token new).",
        _VENDORS,
        example="""\
  anthropic: env:ANTHROPIC_API_KEY
  openai: file:openai.key""",
    ),
    Key(
        "ca_file",
        Text("a file, or null", _path),
        "Further root certificates to trust (PEM), besides the system's and SSL_CERT_FILE.",
        _VENDORS,
    ),
    Key(
        "connect_timeout_seconds",
        Seconds(600, 1),
        "How long a connection to a vendor may take to come up.",
        _VENDORS,
    ),
    Key(
        "upstream_silence_seconds",
        Seconds(86400, 1),
        "How long a vendor may be silent; models think for minutes.",
        _VENDORS,
    ),
    Key(
        "ledger_file",
        Text("a file, or null", _path),
        "The ledger. A relative path lies beside this file. null: ledger.jsonl in the state "
        "folder.",
        _LEDGER,
        found=True,
        example="ledger.jsonl",
    ),
    Key(
        "ledger_sync",
        OneOf(("os", "interval", "always")),
        "os: entries survive the death of the program. interval: of the machine too, but for the "
        "last second. always: each entry, before the client sees the end of its answer.",
        _LEDGER,
    ),
    Key(
        "ledger_rotate",
        Text("never, month, or a size such as 100MB", check_rotation, nullable=False),
        "When a new ledger file begins: never, month, or from a size on (100MB).",
        _LEDGER,
    ),
    Key(
        "on_ledger_error",
        OneOf(("block", "allow")),
        "While the ledger cannot be written: block new calls, or allow them unrecorded.",
        _LEDGER,
    ),
    Key(
        "timezone",
        Text("a name such as Europe/Berlin, or null", check_zone),
        "Whose midnight ends the day. null: the machine's.",
        _LEDGER,
        found=True,
    ),
    Key(
        "hook_tells_model",
        Flag(),
        "abg hook tells the model itself how much of its budget is left, at each threshold.",
        _AGENTS,
    ),
)

KEYS: dict[str, Key] = {key.name: key for key in _TABLE}
"""By name, in the order of the documentation."""

PATHS = ("ca_file", "ledger_file")
"""Keys that name a file; a relative one lies beside the file that says it."""

ENVIRONMENT: dict[str, str] = {
    "ABG_SESSION_ID": "The session of `abg run`, of `abg statusline` and of `abg hook`.",
    "ABG_URL": "The proxy that the commands talk to; `abg run` sets it for its child.",
}
"""Variables that are no keys."""
