"""The configuration: what each key takes, what is said of all else, and who may say it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from abg.budget import Budget
from abg.config import Config, Loaded, load, parse_config
from abg.config.keys import KEYS
from abg.config.loading import FILE_NAME
from abg.config.tables import plain
from abg.config.tree import Scalar, parse_tree
from abg.config.zone import MACHINE_ZONE
from abg.errors import ConfigError
from abg.journal.rotation import parse_rotation
from abg.places import Places

NAME = "/etc/abg/agentbillguard.yaml"


def read(text: str | bytes, **more: Any) -> Config:
    return parse_config(text, NAME, **more)


def wrong(text: str | bytes, **more: Any) -> list[str]:
    """What is said of a file, without its name."""
    with pytest.raises(ConfigError) as caught:
        read(text, **more)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(NAME) for line in lines)
    return [line.removeprefix(NAME + ":") for line in lines]


# -- defaults and values ----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\n", "# comment\n", "---\n", "null\n", "{}\n", "\ufeff"])
def test_an_empty_file_is_the_defaults(text: str) -> None:
    assert read(text) == evolve(Config(), source=Path(NAME))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ledger_file: conf.yaml", "the configuration itself"),
        ("ledger_file: link", "the configuration itself"),
        ("ledger_file: ca.pem\nca_file: ca.pem", "the ca_file"),
        ("ledger_file: new\ncredentials: {openai: file:new}", "the key for openai"),
        ("ledger_file: l\ncredentials: {openai: env:A}", ""),
    ],
)
def test_no_ledger_is_appended_to_a_file_that_is_something_else(
    tmp_path: Path, text: str, what: str
) -> None:
    path = tmp_path / "conf.yaml"
    path.write_text(text)
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "link").symlink_to(path)
    if not what:
        assert parse_config(text, str(path)).ledger_file == tmp_path / "l"
        return
    with pytest.raises(ConfigError, match=f"is {what}; name another file"):
        parse_config(text, str(path))


def test_the_defaults_as_users_know_them() -> None:
    config = Config()
    assert (config.session_budget_usd, config.daily_budget_usd) == (Decimal(5), Decimal(20))
    assert config.warn_at == (Decimal("0.8"),)
    assert (config.host, config.port, config.block_on_limit) == ("127.0.0.1", 8788, True)
    assert [b.name for b in config.budgets] == ["session", "daily"]
    assert config.source is None


@pytest.mark.parametrize(
    "text, name, value",
    [
        ("session_budget_usd: 5.0", "session_budget_usd", Decimal("5.0")),
        ("session_budget_usd: 0.1", "session_budget_usd", Decimal("0.1")),
        ("session_budget_usd: 0", "session_budget_usd", Decimal(0)),
        ("session_budget_usd: null", "session_budget_usd", None),
        ("session_budget_usd: ~", "session_budget_usd", None),
        ("session_budget_usd:", "session_budget_usd", None),
        ("session_budget_usd: 1_000.5", "session_budget_usd", Decimal("1000.5")),
        ("session_budget_usd: .5", "session_budget_usd", Decimal("0.5")),
        ("session_budget_usd: 5.", "session_budget_usd", Decimal(5)),
        ("session_budget_usd: 1e2", "session_budget_usd", Decimal(100)),
        ("session_budget_usd: +3", "session_budget_usd", Decimal(3)),
        # Not eight, and no date.
        ("session_budget_usd: 010", "session_budget_usd", Decimal(10)),
        ("warn_at: 0.5", "warn_at", (Decimal("0.5"),)),
        ("warn_at: [0.9, 0.5, 0.9]", "warn_at", (Decimal("0.5"), Decimal("0.9"))),
        ("warn_at: []", "warn_at", ()),
        ("warn_at: null", "warn_at", ()),
        ("warn_at: 0", "warn_at", (Decimal(0),)),
        ("block_on_limit: false", "block_on_limit", False),
        ("block_on_limit: off", "block_on_limit", False),
        ("block_on_limit: Yes", "block_on_limit", True),
        ("port: 0", "port", 0),
        ("port: 65_535", "port", 65535),
        ("host: 0.0.0.0", "host", "0.0.0.0"),
        ("host: '[::1]'", "host", "::1"),
        ("host: localhost", "host", "localhost"),
        ("timezone: Europe/Berlin", "timezone", "Europe/Berlin"),
        ("timezone: UTC", "timezone", "UTC"),
        ("timezone: null", "timezone", None),
        ("shutdown_grace_seconds: 0.5", "shutdown_grace_seconds", 0.5),
        ("shutdown_grace_seconds: 30.0", "shutdown_grace_seconds", 30),
        ("max_identical_requests: 5", "max_identical_requests", 5),
        ("max_identical_requests: null", "max_identical_requests", None),
        ("counter_margin: 0.05", "counter_margin", Decimal("0.05")),
        ("enforcement: strict", "enforcement", "strict"),
        ("enforcement: 'after'", "enforcement", "after"),
        ("account_tier: priority", "account_tier", "priority"),
        ("unknown_model: block", "unknown_model", "block"),
        ("ledger_rotate: month", "ledger_rotate", "month"),
        ("ledger_rotate: 100MB", "ledger_rotate", "100MB"),
        ("allowed_hosts: abg.corp", "allowed_hosts", ("abg.corp",)),
        ("allowed_hosts: [A.corp, '10.0.0.1:80']", "allowed_hosts", ("a.corp", "10.0.0.1:80")),
        ("allowed_hosts: null", "allowed_hosts", ()),
        ("allowed_origins: ['https://A.example/', 'null']", "allowed_origins",
         ("https://a.example", "null")),
        ("credentials: {anthropic: env:KEY}", "credentials", {"anthropic": "env:KEY"}),
        ("credentials: {openai: file:key}", "credentials", {"openai": "file:/etc/abg/key"}),
        ("credentials: null", "credentials", {}),
        ("upstream_headers: {openai: {X-Team: a, x-n: 5}}", "upstream_headers",
         {"openai": (("X-Team", "a"), ("x-n", "5"))}),
        ("ledger_file: x/ledger.jsonl", "ledger_file", Path("/etc/abg/x/ledger.jsonl")),
        ("ledger_file: /var/ledger.jsonl", "ledger_file", Path("/var/ledger.jsonl")),
        ("ledger_file: null", "ledger_file", None),
        ("budgets: null", "budgets", Config().budgets),
        ("prices: null", "prices", {}),
    ],
)  # fmt: skip
def test_values(text: str, name: str, value: object) -> None:
    found = getattr(read(text), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "url, kept",
    [
        ("https://api.openai.com", "https://api.openai.com"),
        ("https://api.openai.com/", "https://api.openai.com"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("HTTPS://API.OpenAI.com:443/x/", "https://api.openai.com/x"),
        ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("http://[::1]:4000/x", "http://[::1]:4000/x"),
        ("http://gw:80", "http://gw"),
        ("http://my_gateway/a%20b", "http://my_gateway/a%20b"),
    ],
)
def test_upstreams(url: str, kept: str) -> None:
    assert read(f"upstream_openai: {url!r}").upstream_openai == kept


def test_the_users_home_is_known_in_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert read("ledger_file: ~/l.jsonl").ledger_file == Path("/home/me/l.jsonl")


# -- what is wrong, and where -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text, said",
    [
        ("sesion_budget_usd: 5", "1: sesion_budget_usd: did you mean session_budget_usd?"),
        ("session-budget-usd: 5", "1: session-budget-usd: did you mean session_budget_usd?"),
        ("\n\nPORT: 5", "3: PORT: did you mean port?"),
        ("qwertz: 5", "1: qwertz: unknown key"),
        ('"a\\nb": 5', "1: a\N{REPLACEMENT CHARACTER}b: unknown key"),
        ("<<: {port: 1}", "1: <<: unknown key"),
        ("port:5", '1: the file holds a single text, not keys and values (write "port: " with a'),
        ("# a\nport=5", '2: the file holds a single text, not keys and values (write "port: "'),
        ("warn_at: 1\nport:5\n", '(write "port: " with a space after the colon)'),
        ("budgets:\n- name:a\n  limit_usd: 1", '(write "name: " with a space after the colon)'),
        ("https://port", "the file holds a single text, not keys and values"),
        ("session_budget_usd: five", "1: session_budget_usd: an amount of USD such as 5.00, or"),
        ("session_budget_usd: five", "not five"),
        ("session_budget_usd: '5'", 'not "5": write it without quotes'),
        ("session_budget_usd: $5", "not $5: only digits and a point"),
        ("session_budget_usd: 5,00", "not 5,00: only digits and a point"),
        ("session_budget_usd: true", "not true"),
        ("session_budget_usd: [5]", "not a list"),
        ("session_budget_usd: {a: 5}", "not a table"),
        ("session_budget_usd: -1", "cannot be negative: -1"),
        ("session_budget_usd: -0.0001", "cannot be negative"),
        ("session_budget_usd: .nan", "not .nan: it has to be finite"),
        ("session_budget_usd: NaN", "not NaN: it has to be finite"),
        ("session_budget_usd: .inf", "it has to be finite"),
        ("session_budget_usd: -Infinity", "it has to be finite"),
        ("session_budget_usd: 1e99", "no amount of USD that could be meant: 1e99"),
        ("session_budget_usd: 1e-99", "no amount of USD that could be meant"),
        ("session_budget_usd: 1e999999", "an amount of USD such as 5.00"),
        ("session_budget_usd: 1:30", "an amount of USD such as 5.00"),
        ("session_budget_usd: 0x10", "an amount of USD such as 5.00"),
        ("warn_at: 1.1", "1: warn_at: a share lies between 0 and 1, not 1.1"),
        ("warn_at: -0.1", "between 0 and 1"),
        ("warn_at: 80", "between 0 and 1"),
        ("warn_at: 80%", "a share from 0 to 1, such as 0.8, not 80%"),
        ("warn_at: [0.5, x]", "not x"),
        ("warn_at: {a: 1}", "not a table"),
        ("block_on_limit: 1", "1: block_on_limit: true or false, not 1"),
        ("block_on_limit: 'yes'", 'not "yes"'),
        ("block_on_limit: [a]", "not a list"),
        ("port: 65536", "1: port: a whole number from 0 to 65535, not 65536"),
        ("port: -1", "not -1"),
        ("port: 80.5", "not 80.5"),
        ("port: '80'", 'not "80"'),
        ("port: null", "not null"),
        ("port:", "not nothing"),
        ("port: 99999999999999999999999999", "a whole number"),
        ("max_identical_requests: 0", "from 1 to 1000000, or null, not 0"),
        ("busy_wait_seconds: 99999", "seconds, from 0 to 3600, not 99999"),
        ("busy_wait_seconds: soon", "not soon"),
        ("enforcement: strikt", "not strikt (did you mean strict?)"),
        ("enforcement: [a]", "not a list"),
        ("ledger_rotate: weekly", "never, month, or a size such as 100MB; not weekly"),
        ("host: ''", "an address such as 127.0.0.1, not"),
        ("host: null", "not null"),
        ("host: http://127.0.0.1", "an address to listen on"),
        ("timezone: Europe/Belin", "did you mean Europe/Berlin?"),
        ("timezone: Nowhere/At/All/Really", "no time zone is called Nowhere/At/All/Really"),
        ("timezone: ../../etc/passwd", "no time zone"),
        ("timezone: Europe", "no time zone"),
        ("upstream_openai: api.openai.com", "a URL that begins with https:// or http://"),
        ("upstream_openai: ftp://x", "a URL that begins with"),
        ("upstream_openai: 'http:x'", "a URL that begins with"),
        ("upstream_openai: https://", "the host in the URL is none: nothing"),
        ("upstream_openai: https://a:b", "the host in the URL is none"),
        ("upstream_openai: 'https://a:'", "the host in the URL is none"),
        ("upstream_openai: https://[v1.a:b]", "the host in the URL is none"),
        ("upstream_openai: 'https://[::1'", "the host in the URL is none"),
        ("upstream_openai: https://a b", "without spaces"),
        ("upstream_openai: https://-", "the host in the URL is none"),
        ("upstream_openai: https://a:0", "port 0"),
        ("upstream_openai: https://user:pw@x", "no user or password"),
        ("upstream_openai: https://x/?a=b", "without a query"),
        ("upstream_openai: 'https://x/#a'", "without a query"),
        ("upstream_openai: https://x/?", "without a query"),
        ("upstream_openai: https://x//y", "without //, . and .."),
        ("upstream_openai: https://x/a/../b", "without //, . and .."),
        ("upstream_openai: https://exämple.com", "in ASCII"),
        ("upstream_openai: 'https://x y'", "without spaces"),
        ("upstream_openai: null", "a URL, not null"),
        ("upstream_openai: {url: x}", "a URL, not a table"),
        ("allowed_hosts: [a, [b]]", "a list of host names, not a list"),
        ("allowed_hosts: ['a b']", "a host name such as"),
        ("allowed_hosts: ['a:b']", "a host name such as"),
        ("allowed_hosts: ['-']", "a host name such as"),
        ("allowed_hosts: {a: b}", "not a table"),
        ("allowed_origins: x.example", "an origin such as https://app.example.com"),
        ("allowed_origins: https://x/y", "an origin such as"),
        ("allowed_origins: https://", "an origin such as"),
        ("ca_file: nowhere.pem", "1: ca_file: there is no file /etc/abg/nowhere.pem"),
        ("ca_file: " + "x" * 5000, "1: ca_file: there is no file /etc/abg/xxx"),
        ("credentials: {anthropic: sk-ant-secret}", "1: credentials: anthropic: env:NAME or file:"),
        ("credentials: {anthropic: 'env:'}", "env:NAME or file:PATH"),
        ("credentials: {anthropic: 'file:'}", "env:NAME or file:PATH"),
        ("credentials: {anthropic: [a]}", "env:NAME or file:PATH"),
        ("credentials: {antropic: env:A}", "antropic: did you mean anthropic? (unknown vendor)"),
        ("credentials: {x: env:A}", "x: only anthropic and openai (unknown vendor)"),
        ("credentials: env:A", "a table such as {anthropic: env:NAME}, not env:A"),
        ("upstream_headers: {opnai: {}}", "opnai: did you mean openai? (unknown upstream)"),
        ("upstream_headers: {zzz: {}}", "only anthropic, openai, chatgpt"),
        ("upstream_headers:\n  openai:\n    host: x", "3: upstream_headers: openai: host: "),
        ("upstream_headers: {openai: {x-abg-a: x}}", "cannot be set"),
        ("upstream_headers: {openai: {'a b': x}}", "this is no name of a header"),
        ("upstream_headers: {openai: {a: x, A: y}}", "stands here twice"),
        ("upstream_headers: {openai: {a: [x]}}", "a header's value is a text"),
        ('upstream_headers: {openai: {a: "x\\ny"}}', "one line of visible ASCII"),
        ("upstream_headers: {openai: {a: é}}", "one line of visible ASCII"),
        ("upstream_headers: {openai: {a: env:UNSET_X}}", "a: the variable UNSET_X holds no value"),
        ("budgets: {a: b}", "a list of rows (each line begins with - ), not a table"),
        ("budgets: [5]", "1: budgets[0]: "),
        ("budgets:\n- name: a\n  limit: 5\n", "3: budgets[0]: limit: unknown key"),
        ("budgets:\n- {name: a, limit_usd: 1}\n- name: b\n  limit_usd: -1", "4: budgets[1]: "),
        ("budgets:\n- name: a\n  limit_usd: 1\n  match:\n    modl: x\n", "5: budgets[0]: match: "),
        ("budgets: [{name: a, limit_usd: 1},\n {name: a, limit_usd: 2}]", "2: budgets[1]: name: "),
        ("prices: 5", "a table by model, not 5"),
        ("prices:\n  m:\n    vendor: openai\n    inptu: 5", "4: prices: m: unknown key 'inptu'"),
        ("prices:\n  m:\n    output: 1\n    input: -5\n", "4: prices: m: input: "),
        ("prices: {m: 5}", "1: prices: m: "),
        ("prices:\n  m:\n  - {input: 1, output: 1}\n  - {inptu: 1}", "4: prices: m"),
        ("unknown_model: cheap", "dearest, block, or a price row; not cheap"),
        ("unknown_model:\n  vendor: openai\n  inptu: 1\n", "3: unknown_model: unknown key 'inptu'"),
        ("port: 1\nport: 2", "2: port: duplicate key, it stands in line 1 already"),
        (
            "prices:\n  A: {input: 1, output: 1}\n  a: {input: 2, output: 1}",
            "3: prices: a: line 2 has a model of this name, but for its case",
        ),
        ("budgets: [{name: a, name: b, limit_usd: 1}]", "1: name: duplicate key"),
        ("? [a]\n: b\n", "1: a key is a word"),
        ("- a\n- b", "1: the file holds a list, not keys and values"),
        ("hello", "1: the file holds a single text"),
        ("a: [1\nb: 2", "2: this is not YAML: "),
        ("port:\n\t5", "2: this is not YAML: "),
        ("port:\n\t5", "by spaces, not by tabs"),
        ("port: 5\n---\nport: 6\n", "2: a second document begins here"),
        ("port: &a 5", "1: anchors and aliases"),
        ("port: *a", "1: anchors and aliases"),
        ("port: !!int 5", "1: tags are not read here: tag:yaml.org,2002:int"),
        ("a: !!python/object/apply:os.system [x]", "tags are not read here"),
        ("a: " + "[" * 5000, "1: the file is nested too deeply"),
        ("a: " + "{a: " * 5000, "1: the file is nested too deeply"),
        (b"\xff\xfep\x00o\x00", "1: the file is not UTF-8 text"),
        (b"port: 5\n# caf\xe9\n", "2: the file is not UTF-8 text"),
        (b"port: 5\n\x00", "2: the file holds the character U+0000"),
        (b"%YAML 9.9\n---\n", "1: this is not YAML: "),
    ],
)  # fmt: skip
def test_what_is_said_of_a_wrong_file(text: str | bytes, said: str) -> None:
    (line,) = wrong(text)
    assert said in line


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_file() -> None:
    lines = wrong(
        "budgets:\n- {name: a, limit_usd: x}\n- {limit_usd: 1}\nport: x\nwarn_at: 3\n"
        "prices: {m: {}}\nport: 5\nhots: a\n"
    )
    assert [line.split(":")[0] for line in lines] == ["2", "3", "4", "5", "6", "7", "8"]


def test_an_alias_bomb_is_one_clear_message() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    (line,) = wrong(bomb)
    assert "anchors and aliases" in line


def test_a_file_beyond_any_size_is_one_clear_message() -> None:
    with pytest.raises(ConfigError, match=r"\.yaml: the file is larger than 1 MB"):
        read(b"# " + b"x" * 1_000_001)


@pytest.mark.parametrize("tail", ["", "port: [\n", "port: x\n"])
def test_a_long_file_is_read_like_a_short_one(tail: str) -> None:
    rows = "prices:\n" + "".join(
        f"  model-{n}: {{vendor: openai, input: 1.5, output: 3}}\n" for n in range(250)
    )
    if not tail:
        assert read(rows).prices["model-249"] == {
            "vendor": "openai",
            "input": Decimal("1.5"),
            "output": 3,
        }
    else:
        (line,) = wrong(rows + tail)
        assert line.startswith("252: " if tail.startswith("port: x") else "253: this is not YAML")


def test_secrets_are_not_shown() -> None:
    text = "credentials: {anthropic: sk-ant-secret}\nupstream_headers: {openai: {a: [hush]}}\n"
    said = "\n".join(wrong(text + 'upstream_openai: "https://u:pass@x"'))
    assert not {"sk-ant-secret", "hush", "pass@"} & set(said.replace(" ", "\n").split())
    config = read("upstream_headers: {openai: {x-key: hush}}")
    assert "hush" not in repr(config)


KEY = "sk-ant-api03-secret"


@pytest.mark.parametrize(
    "text",
    [
        f"credentials: {KEY}",
        f"credentials: {{{KEY}: env:X}}",
        f"credentials: {{anthropic: env:{KEY}}}",
        f"upstream_headers: {KEY}",
        f"upstream_headers: {{openai: {KEY}}}",
        f"upstream_headers: {{openai: {{x-key: env:{KEY}}}}}",
        f"port: {KEY}",
        f"session_budget_usd: {KEY}",
        f"allowed_hosts: {KEY} {KEY}",
        f"allowed_origins: [{KEY}]",
        f"{KEY}: 5",
        f"api_key: !{KEY} x",
        "credentials: not-even-like-a-key-secret",
        "upstream_headers: {openai: Bearer secret}",
    ],
)
def test_a_key_in_a_wrong_place_is_not_shown_either(text: str) -> None:
    (line,) = wrong(text)
    assert "secret" not in line
    assert line.startswith("1: ")


def test_long_and_strange_values_are_shown_short() -> None:
    (line,) = wrong("port: " + "x" * 500)
    assert line.endswith("not " + "x" * 37 + "...")
    (line,) = wrong('port: "a\\eb"')
    assert line.endswith('not "a\N{REPLACEMENT CHARACTER}b"')


# -- tables -----------------------------------------------------------------------------------


def test_budgets_of_the_issue() -> None:
    config = read(
        """
warn_at: 0.7
budgets:
  - {name: runaway,  per: session, window: 10m,  limit_usd: 8}
  - {name: opus,     match: {model: "claude-opus-*"}, window: day, limit_usd: 10.10}
  - {name: bugfixes, match: {session: "bugfix-*"}, per: session, limit_usd: 2, warn_at: [0.5, 0.9]}
  - {name: codex,    match: {agent: codex}, window: month, limit_usd: 100, action: warn}
  - {name: open,     limit_usd: null}
  - {name: shut,     limit_usd: 0, max_requests: 3}
"""
    )
    rows = {row.name: row for row in config.budgets}
    assert list(rows) == [
        "session",
        "daily",
        "runaway",
        "opus",
        "bugfixes",
        "codex",
        "open",
        "shut",
    ]
    assert str(rows["runaway"].window) == "10m"
    assert rows["opus"].limit_usd == Decimal("10.10")
    assert rows["opus"].warn_at == rows["session"].warn_at == (Decimal("0.7"),)
    assert rows["bugfixes"].warn_at == (Decimal("0.5"), Decimal("0.9"))
    assert rows["codex"].action == "warn"
    assert (rows["open"].limit_usd, rows["shut"].limit_usd) == (None, Decimal(0))
    assert rows["shut"].max_requests == 3


def test_prices_are_handed_on_exactly() -> None:
    config = read(
        "prices:\n"
        "  gpt-x: {vendor: openai, input: 1.10, output: '8', valid_from: 2026-12-01}\n"
        "unknown_model: {vendor: openai, input: 100, output: 500}\n"
    )
    assert config.prices == {
        "gpt-x": {
            "vendor": "openai",
            "input": Decimal("1.10"),
            "output": "8",
            "valid_from": "2026-12-01",
        }
    }
    assert str(config.prices["gpt-x"]["input"]) == "1.10"
    assert config.unknown_model == {"vendor": "openai", "input": 100, "output": 500}


@pytest.mark.parametrize(
    "text, value",
    [
        ("5", 5),
        ("5.50", Decimal("5.50")),
        ("'5'", "5"),
        ("true", True),
        ("null", None),
        ("10m", "10m"),
        ("2026-12-01", "2026-12-01"),
        ("6:30", "6:30"),
        ("[1, a, {b: c}]", [1, "a", {"b": "c"}]),
        ("0x10", "0x10"),
    ],
)
def test_plain_data_has_no_floats_and_no_dates(text: str, value: object) -> None:
    table, problems = parse_tree(f"x: {text}".encode())
    assert not problems
    found = plain(table.rows[0].value)
    assert found == value and type(found) is type(value)


def test_header_values_may_come_from_variables() -> None:
    text = "upstream_headers: {openai: {x-key: env:GW_KEY}}"
    config = read(text, environ={"GW_KEY": "hush"})
    assert config.upstream_headers == {"openai": (("x-key", "hush"),)}
    for value in ("", "a\nb", "é"):
        (line,) = wrong(text, environ={"GW_KEY": value})
        assert "GW_KEY holds no value for a header" in line


# -- who may say what: files, variables, flags ------------------------------------------------


class Machine:
    """A user's machine, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.cwd = folder / "work"
        self.places = Places(folder / "state", folder / "config")
        for path in (self.cwd, self.places.config):
            path.mkdir()
        self.environ: dict[str, str] = {}

    def found(self, text: str) -> Path:
        path = self.cwd / FILE_NAME
        path.write_text(text, "utf-8")
        return path

    def own(self, text: str) -> Path:
        self.places.config_file.write_text(text, "utf-8")
        return self.places.config_file

    def load(self, **flags: str | None) -> Loaded:
        return load(flags, self.environ, self.cwd, self.places)

    def refused(self, **flags: str | None) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(**flags)
        return str(caught.value)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_any_file(machine: Machine) -> None:
    assert machine.load() == Loaded(Config())


def test_the_users_own_file_is_trusted_whole(machine: Machine) -> None:
    path = machine.own("host: 127.0.0.2\nledger_file: l.jsonl\n")
    loaded = machine.load()
    assert loaded.path == loaded.config.source == path
    assert loaded.config.host == "127.0.0.2"
    assert loaded.config.ledger_file == path.parent / "l.jsonl"


def test_a_found_file_may_set_budgets(machine: Machine) -> None:
    path = machine.found(
        "session_budget_usd: 1\ndaily_budget_usd: null\nwarn_at: 0.5\nblock_on_limit: false\n"
        "port: 9000\ntimezone: UTC\nledger_file: logs/l.jsonl\n"
        "budgets: [{name: a, limit_usd: 1}]\nprices: {m: {vendor: openai, input: 1, output: 2}}\n"
    )
    loaded = machine.load()
    assert loaded.path == path
    assert loaded.config.port == 9000
    assert loaded.config.ledger_file == machine.cwd / "logs/l.jsonl"


UNTRUSTED = [key for key in KEYS.values() if not key.found]


@pytest.mark.parametrize("key", UNTRUSTED, ids=lambda key: key.name)
def test_a_found_file_may_set_nothing_else(machine: Machine, key: Any) -> None:
    path = machine.found(f"port: 1\n{key.name}: x\n")
    said = machine.refused()
    assert said.startswith(f"{path}:2: {key.name}: ")
    assert "give --config to trust this file" in said
    assert "\n" not in said


def test_the_contracts_list_of_what_a_found_file_may_set() -> None:
    assert {key.name for key in KEYS.values() if key.found} == {
        "session_budget_usd",
        "daily_budget_usd",
        "budgets",
        "warn_at",
        "block_on_limit",
        "port",
        "timezone",
        "prices",
        "ledger_file",
    }


@pytest.mark.parametrize("path", ["../l.jsonl", "/tmp/l.jsonl", "~/l.jsonl", "a/../../l.jsonl", ".",
                                  "link/l.jsonl", "file-link"])  # fmt: skip
def test_a_found_file_keeps_its_ledger_below_itself(machine: Machine, path: str) -> None:
    outside = machine.cwd.parent / "outside"
    outside.mkdir()
    (machine.cwd / "link").symlink_to(outside)
    (machine.cwd / "file-link").symlink_to(outside / "victim")
    machine.found(f"ledger_file: {path}\n")
    said = machine.refused()
    assert "outside the folder" in said and "give --config to trust this file" in said


def test_a_given_file_is_trusted_whole(machine: Machine) -> None:
    path = machine.found("host: 127.0.0.2\nledger_file: ../l.jsonl\n")
    for name in (FILE_NAME, str(path)):
        loaded = machine.load(config=name)
        assert loaded.config.host == "127.0.0.2"
        assert loaded.path == path
        assert loaded.config.ledger_file == machine.cwd / "../l.jsonl"
    machine.found("hst: x")
    assert machine.refused(config=FILE_NAME).startswith(f"{FILE_NAME}:1: hst: ")


def test_a_given_file_has_to_be_there(machine: Machine) -> None:
    machine.own("port: 1")
    assert machine.refused(config="nowhere.yaml") == (
        "nowhere.yaml cannot be read: No such file or directory"
    )
    assert "Is a directory" in machine.refused(config=".")
    assert machine.load(config=None).config.port == 1


def test_the_first_file_is_the_only_one(machine: Machine) -> None:
    own, found = machine.own("host: 127.0.0.2\nport: 1"), machine.found("port: 2\n")
    loaded = machine.load()
    assert (loaded.config.host, loaded.config.port) == ("127.0.0.1", 2)
    assert loaded.notes == (f"{own} is not read, because {found} is there",)


def test_the_users_own_folder_is_trusted_as_working_folder_too(machine: Machine) -> None:
    machine.own("host: 127.0.0.2")
    machine.cwd = machine.places.config
    assert machine.load().config.host == "127.0.0.2"
    link = machine.places.config.parent / "elsewhere"
    link.symlink_to(machine.places.config)
    machine.cwd = link
    assert machine.load().config.host == "127.0.0.2"


def test_variables_beat_the_file_and_flags_beat_variables(machine: Machine) -> None:
    machine.own("port: 1\nhost: 127.0.0.2\nsession_budget_usd: 1\n")
    machine.environ = {"ABG_PORT": "2", "ABG_SESSION_BUDGET_USD": "2.50", "PORT": "9"}
    config = machine.load(port="3", host=None).config
    assert (config.port, config.host) == (3, "127.0.0.2")
    assert config.session_budget_usd == Decimal("2.50")
    assert config.budgets[0].limit_usd == Decimal("2.50")


@pytest.mark.parametrize(
    "variable, text, name, value",
    [
        ("ABG_DAILY_BUDGET_USD", "null", "daily_budget_usd", None),
        ("ABG_DAILY_BUDGET_USD", "none", "daily_budget_usd", None),
        ("ABG_DAILY_BUDGET_USD", "0", "daily_budget_usd", Decimal(0)),
        ("ABG_DAILY_BUDGET_USD", "", "daily_budget_usd", Decimal("20.0")),
        ("ABG_WARN_AT", "0.9, 0.5", "warn_at", (Decimal("0.5"), Decimal("0.9"))),
        ("ABG_ALLOWED_HOSTS", "a.corp,b.corp:80", "allowed_hosts", ("a.corp", "b.corp:80")),
        ("ABG_BLOCK_ON_LIMIT", "false", "block_on_limit", False),
        (
            "ABG_UPSTREAM_OPENAI",
            "http://127.0.0.1:1/v1",
            "upstream_openai",
            "http://127.0.0.1:1/v1",
        ),
        ("ABG_TIMEZONE", "UTC", "timezone", "UTC"),
        ("ABG_UNKNOWN_MODEL", "block", "unknown_model", "block"),
    ],
)
def test_variables(machine: Machine, variable: str, text: str, name: str, value: object) -> None:
    machine.environ = {variable: text}
    assert getattr(machine.load().config, name) == value


def test_relative_paths_of_variables_and_flags_lie_in_the_working_folder(machine: Machine) -> None:
    machine.own("ledger_file: own.jsonl")
    machine.environ = {"ABG_LEDGER_FILE": "env.jsonl"}
    assert machine.load().config.ledger_file == machine.cwd / "env.jsonl"
    assert machine.load(ledger_file="flag.jsonl").config.ledger_file == machine.cwd / "flag.jsonl"
    machine.environ = {"ABG_CA_FILE": "nowhere.pem"}
    assert machine.refused() == f"ABG_CA_FILE: there is no file {machine.cwd / 'nowhere.pem'}"
    (machine.cwd / "nowhere.pem").write_text("x")
    assert machine.load().config.ca_file == machine.cwd / "nowhere.pem"


def test_wrong_variables_and_flags_are_named(machine: Machine) -> None:
    machine.environ = {"ABG_PORT": "x", "ABG_BUDGETS": "a", "ABG_CREDENTIALS": "sk-secret"}
    machine.own("hst: 1")
    assert machine.refused(host="y z", ledger_file=None).split("\n") == [
        f"{machine.places.config_file}:1: hst: did you mean host? (unknown key)",
        "ABG_BUDGETS: budgets is a table; it stands in the file",
        "ABG_CREDENTIALS: credentials is a table; it stands in the file",
        "ABG_PORT: a whole number from 0 to 65535, not x",
        "--host: an address to listen on, such as 127.0.0.1, ::1 or 0.0.0.0; not y z",
    ]
    machine.own("")
    machine.environ = {}
    assert machine.refused(port="").startswith("--port: ")


def test_unknown_variables_are_noted(machine: Machine) -> None:
    machine.environ = {
        "ABG_SESION_BUDGET_USD": "5",
        "ABG_QWERTZ": "",
        "ABG_SESSION_ID": "known",
        "ABG_URL": "known",
        "ABG_TEST_REQUIRE_ALL": "1",
        "OTHER": "x",
    }
    assert machine.load().notes == (
        "unknown variable ABG_QWERTZ",
        "unknown variable ABG_SESION_BUDGET_USD (did you mean ABG_SESSION_BUDGET_USD?)",
    )


def test_what_is_allowed_and_still_should_be_known_is_noted(machine: Machine) -> None:
    machine.own("host: 0.0.0.0\nupstream_openai: http://gw.corp/x\n")
    assert machine.load().notes == (
        "host 0.0.0.0: whoever can reach it can spend by abg",
        "upstream_openai: keys go to http://gw.corp/x unencrypted",
    )
    machine.own("host: localhost\nupstream_openai: http://127.0.0.1:1\n")
    assert machine.load().notes == ()
    machine.own("host: 0.0.0.0\ncredentials: {openai: env:KEY}")
    assert machine.load().notes == ()


@pytest.mark.parametrize(
    "text, itself",
    [
        ("upstream_openai: http://127.0.0.1:8788", True),
        ("upstream_anthropic: http://localhost:8788/x", True),
        ("upstream_chatgpt: http://[::1]:8788", True),
        ("host: 0.0.0.0\nupstream_openai: http://127.0.0.1:8788", True),
        ("host: 10.0.0.1\nupstream_openai: http://10.0.0.1:8788", True),
        ("host: 10.0.0.1\nupstream_openai: http://127.0.0.1:8788", False),
        ("upstream_openai: http://127.0.0.1:8789", False),
        ("port: 0\nupstream_openai: http://127.0.0.1:8788", False),
        ("port: 443\nupstream_openai: https://127.0.0.1", True),
    ],
)
def test_abg_is_not_its_own_upstream(machine: Machine, text: str, itself: bool) -> None:
    machine.own(text)
    if itself:
        assert "is abg itself" in machine.refused()
    else:
        machine.load()


# -- the value itself -------------------------------------------------------------------------


def test_session_and_day_are_rows_like_any_other() -> None:
    own = Budget("mine", limit_usd=Decimal(1))
    config = Config(session_budget_usd=None, daily_budget_usd=Decimal(3), budgets=(own,))
    session, daily, mine = config.budgets
    assert (session.name, session.per, session.limit_usd) == ("session", "session", None)
    assert (daily.name, str(daily.window), daily.limit_usd) == ("daily", "day", Decimal(3))
    assert mine is own
    again = evolve(config, session_budget_usd=Decimal(7), port=1)
    assert [row.limit_usd for row in again.budgets] == [Decimal(7), Decimal(3), Decimal(1)]


def test_no_float_enters_by_an_embedder() -> None:
    with pytest.raises(ValueError, match="exact"):
        Config(session_budget_usd=5.0)
    assert Config(warn_at=Decimal("0.5")).warn_at == (Decimal("0.5"),)


def test_zones() -> None:
    assert Config(timezone="Europe/Berlin").zone == ZoneInfo("Europe/Berlin")
    assert Config(timezone="UTC").zone is timezone.utc
    assert Config().zone is MACHINE_ZONE
    assert str(MACHINE_ZONE) == "MachineZone()"


@pytest.fixture
def berlin() -> Any:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield ZoneInfo("Europe/Berlin")
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    "local",
    [
        "2026-01-15T12:00",
        "2026-07-15T12:00",
        # The night of a gap, and one in which an hour comes twice.
        "2026-03-29T00:00",
        "2026-03-29T02:30",
        "2026-03-29T03:00",
        "2026-10-25T02:30",
        "2026-10-25T03:00",
    ],
)
@pytest.mark.parametrize("fold", [0, 1])
def test_the_machines_zone_knows_daylight_saving(berlin: Any, local: str, fold: int) -> None:
    naive = datetime.fromisoformat(local)
    ours, theirs = (naive.replace(tzinfo=zone, fold=fold) for zone in (MACHINE_ZONE, berlin))
    assert ours.utcoffset() == theirs.utcoffset()
    assert ours.astimezone(timezone.utc) == theirs.astimezone(timezone.utc)
    instant = theirs.astimezone(timezone.utc)
    back = instant.astimezone(MACHINE_ZONE)
    assert back.replace(tzinfo=None) == instant.astimezone(berlin).replace(tzinfo=None)
    assert back.fold == instant.astimezone(berlin).fold


def test_a_zone_without_a_moment(berlin: Any) -> None:
    assert MACHINE_ZONE.utcoffset(None) == timedelta(0)
    moment = datetime(2026, 1, 1, tzinfo=MACHINE_ZONE)
    assert (moment.tzname(), moment.dst()) == ("local", None)


# -- properties -------------------------------------------------------------------------------


@given(st.decimals(0, 10**9, places=6))
def test_an_amount_is_read_digit_by_digit(amount: Decimal) -> None:
    assert str(read(f"session_budget_usd: {amount}").session_budget_usd) == str(amount)


@given(st.binary(max_size=60) | st.text(" \n:-[]{}#&*!|>'\"%@`,?~a0.", max_size=60).map(str.encode))
def test_any_file_gives_a_config_or_a_message(raw: bytes) -> None:
    try:
        read(raw)
    except ConfigError as error:
        assert str(error).startswith(NAME)


@given(st.sampled_from(sorted(KEYS)), st.text(max_size=20) | st.sampled_from(["-1", "[]", "{}"]))
def test_any_value_of_any_key_gives_a_config_or_a_message(name: str, text: str) -> None:
    for raw in (f"{name}: {text}", f"{name}: [{text}]", f"{name}: {{a: {text}}}"):
        try:
            read(raw.encode("utf-8", "replace"))
        except ConfigError as error:
            assert str(error).startswith(NAME)


def test_kinds_take_only_their_own_nodes() -> None:
    values: Mapping[str, Any] = {name: key.kind for name, key in KEYS.items()}
    assert values["account_tier"].read(Scalar("us", 1)) == "us"


# -- what a careless hand, or a cloned repository, may put there ----------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ledger_file: ~no-such-user/x", "ledger_file: there is no user no-such-user"),
        ("ca_file: ~no-such-user/x", "ca_file: there is no user no-such-user"),
        (
            "credentials: {openai: file:~no-such-user/x}",
            "credentials: openai: there is no user no-such-user",
        ),
        ('ledger_file: "a\\0b"', "ledger_file: a path is one line of visible characters"),
        ('ledger_file: "a\\n[abg] ALLOW"', "ledger_file: a path is one line of"),
        ('credentials: {openai: "file:a\\0b"}', "credentials: openai: a path is one line"),
        ("ledger_file: /", "ledger_file: / is a folder"),
        ("ca_file: " + "a" * 300, "ca_file: there is no file"),
        ("ledger_rotate: 0", "cannot be smaller than 10000 bytes: 0"),
        ("ledger_rotate: 9kB", "cannot be smaller than 10000 bytes: 9kB"),
        ("budgets: [{name: 5, limit_usd: 1}]", "name: a name is a text: write it in quotes, not 5"),
        ("budgets: [{name: a, max_requests: 1.5}]", "or null; not 1.5"),
        ("budgets: [null]", "a budget is a table of keys, not nothing"),
        ("prices: {m: {input: yes, output: 1}}", 'such as "2.50", not true'),
        ("prices: {m: {input: 1e99, output: 1}}", 'such as "2.50", not 1E+99'),
    ],
)  # fmt: skip
def test_what_is_said_of_a_careless_file(text: str, said: str) -> None:
    (line,) = wrong(text)
    assert said in line


@pytest.mark.parametrize("size", ["never", "month", "10kB", "10000", "1 MB", "2g"])
def test_what_may_rotate_is_what_the_journal_can_rotate(size: str) -> None:
    parse_rotation(read(f"ledger_rotate: {size}").ledger_rotate)


@pytest.mark.parametrize(
    "text",
    [
        'timezone: "a\\e]0;x\\ab"',
        '"\\e[31mport": 1',
        '"\\e[31m": 1\n"\\e[31m": 2',
        'host: "\\e[31m"',
        'budgets: [{name: a, limit_usd: 1, "\\e[31m": 1}]',
        'prices: {"\\e[31m": {input: 1}}',
        'credentials: {"\\e[31m": x}',
        'upstream_headers: {"\\e[31m": x}',
        'port: !<\\e[31m> 1',
        "port: !" + "x" * 5000 + " 1",
        "a" * 1000 + ": 1",
        "prices: {m: {input: '" + "9" * 100_000 + "', output: 1}}",
    ],
)  # fmt: skip
def test_a_message_is_a_short_line_that_steers_no_terminal(text: str) -> None:
    for line in wrong(text):
        assert line.isprintable() and len(line) <= 500


@pytest.mark.parametrize("file", ["a", "a/ledger.jsonl"])
def test_a_link_in_a_circle_leads_nowhere(machine: Machine, file: str) -> None:
    machine.found(f"ledger_file: {file}\n")
    (machine.cwd / "a").symlink_to(machine.cwd / "b")
    (machine.cwd / "b").symlink_to(machine.cwd / "a")
    assert "lies outside the folder" in machine.refused()


def test_variables_have_paths_as_files_have_them(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    machine.environ["ABG_LEDGER_FILE"] = "~/l.jsonl"
    assert machine.load().config.ledger_file == Path("/home/u/l.jsonl")
    machine.environ.update(ABG_LEDGER_FILE="~no-such-user/x", ABG_TIMEZONE="\x1b[31m")
    said = machine.refused()
    assert said.splitlines()[0] == "ABG_LEDGER_FILE: there is no user no-such-user"
    assert "\x1b" not in said


def test_a_folder_that_may_not_be_looked_into_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", denied)
    assert machine.refused().endswith("agentbillguard.yaml cannot be read: Permission denied")
