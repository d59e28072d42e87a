"""The price table: the package's data, what a user lays over it, and what is wrong with a row."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from abg.call import Call
from abg.config import load
from abg.errors import ConfigError
from abg.places import Places
from abg.pricing import PriceTable
from abg.pricing.rates import Unlisted, complete
from abg.usage import Reading, Sampling, Usage

DATA = files("abg").joinpath("prices.json").read_bytes()
TABLE = PriceTable.builtin()
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)
CALL = Call("openai_chat", "chat.completions")


def usd(table: PriceTable, model: str, usage: Usage, vendor: str = "openai", **terms: Any) -> str:
    reading = Reading((Sampling(usage),), model, **terms)
    return str(table.cost(vendor, reading, CALL, NOW).usd)


# -- the data --------------------------------------------------------------------------------------


def test_the_table_is_there_once() -> None:
    assert PriceTable.builtin() is TABLE
    assert TABLE.as_of == "2026-11-24"
    assert len(TABLE.models) > 120


def test_it_loads_in_less_than_thirty_milliseconds() -> None:
    # In a process of its own: coverage and other tests' threads are not what is measured.
    program = (
        "import time\nfrom importlib.resources import files\n"
        "from abg.pricing import PriceTable\n"
        "data, spent = files('abg').joinpath('prices.json').read_bytes(), []\n"
        "for _ in range(7):\n"
        "    start = time.process_time()\n    PriceTable.parse(data)\n"
        "    spent.append(time.process_time() - start)\n"
        "print(min(spent))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) < 0.030


def test_every_block_names_its_vendor_its_source_and_its_date() -> None:
    for name, value in json.loads(DATA)["models"].items():
        blocks = value if isinstance(value, list) else [value]
        assert "vendor" in blocks[0], name
        for block in blocks:
            assert block["source"], name
            date.fromisoformat(block["as_of"])


def test_a_person_can_read_it() -> None:
    text = DATA.decode()
    assert max(map(len, text.splitlines())) < 200
    assert '"claude-opus-5-5": {' in text
    # One line for each tier and band.
    assert '"standard": {"input": "4", "cache_read": "0.2"' in text


def test_rates_are_decimal_text_and_never_binary() -> None:
    def floats(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [f for v in value.values() for f in floats(v)]
        if isinstance(value, list):
            return [f for v in value for f in floats(v)]
        return [value] if isinstance(value, float) else []

    assert floats(json.loads(DATA)) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "price file: "),
        (b"[]", "no table `models`"),
        (b'{"models": {}}', "no table `models`"),
        (b'{"models": {"a": {"input": "1"}}}', "models: a: lacks `output`"),
        (
            b'{"models": {"a": {"input": "1", "output": "1"}, "A": {"input": "1", "output": "1"}}}',
            "two models differ in nothing but case",
        ),
        (
            b'{"models": {"a": {"input": "1", "output": "1"},'
            b' "b": {"input": "1", "output": "1", "aliases": ["A"]}}}',
            "models: b: the alias A is taken by a",
        ),
    ],
)
def test_a_wrong_file_says_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("`", ".")):
        PriceTable.parse(data)


def test_an_alias_may_stand_twice_in_its_own_block() -> None:
    table = PriceTable.parse(
        b'{"models": {"a": {"input": "1", "output": "1", "aliases": ["b", "B"]}}}'
    )
    assert table.resolve("openai", "b").name == "a"
    assert table.as_of == ""


# -- a user's own rows -----------------------------------------------------------------------------


def test_a_new_model() -> None:
    table = TABLE.with_overrides({"my-model": {"input": "1.5", "output": "3", "cache_read": 0}})
    match = table.resolve("openai", "my-model")
    assert (match.name, match.price, match.how) == ("my-model", "user", "name")
    assert usd(table, "my-model", Usage(1000, 1000, output_tokens=1000)) == "0.0045"
    assert TABLE.resolve("openai", "my-model").price == "assumed"


def test_a_known_model_keeps_what_the_user_does_not_say_but_not_its_rates() -> None:
    table = TABLE.with_overrides({"claude-haiku-5-5": {"input": "1", "output": "2"}})
    match = table.resolve("anthropic", "claude-haiku-5-5[1m]")
    row = match.rows[0]
    assert match.price == "user"
    assert (row.vendor, row.context_window) == ("anthropic", 1_000_000)
    assert row.multipliers == {"us": Decimal("1.1")}
    # No band, no cache-read rate: cached tokens are input, an hour's write is twice input.
    used = Usage(100_000, 100_000, 0, 100_000, output_tokens=1000)
    assert usd(table, "claude-haiku-5-5", used, "anthropic") == "0.402"
    assert usd(table, "claude-haiku-5-5", used, "anthropic", tier="batch") == "0.201"
    assert table.resolve("anthropic", "haiku").price == "user"


def test_a_row_for_an_alias_takes_that_name_alone() -> None:
    table = TABLE.with_overrides({"claude-haiku-4-5-20251001": {"input": "7", "output": "9"}})
    assert table.resolve("anthropic", "claude-haiku-4-5-20251001").price == "user"
    assert table.resolve("anthropic", "claude-haiku-4-5@20251001").price == "user"
    row = {"input": "7", "output": "9", "aliases": ["mine"]}
    named = TABLE.with_overrides({"claude-haiku-4-5-20251001": row})
    assert named.resolve("anthropic", "mine").name == "claude-haiku-4-5-20251001"
    assert table.resolve("anthropic", "claude-haiku-4-5").price == "table"


def test_a_row_in_other_case_still_wins() -> None:
    table = TABLE.with_overrides({"GPT-4o": {"input": "1", "output": "1"}})
    assert table.resolve("openai", "gpt-4o").price == "user"
    assert table.resolve("openai", "GPT-4o").price == "user"
    assert table.resolve("openai", "gpt-4o-2024-08-06").price == "user"
    assert table.resolve("openai", "GPT-4o").name == "gpt-4o"


def test_a_user_s_price_can_change_on_a_day() -> None:
    rows = {
        "mine": [
            {"rates": {"standard": {"input": "1", "output": "1"}}, "context_window": 10},
            {"valid_from": "2026-11-25", "input": "2", "output": "2", "note": "n"},
            {"valid_from": date(2026, 11, 26), "input": "3", "output": "3"},
        ]
    }
    model = TABLE.with_overrides(rows).models["mine"]
    assert [row.valid_from for row in model.rows] == [None, date(2026, 11, 25), date(2026, 11, 26)]
    assert model.at(NOW).rates["standard", 0]["input"] == 2
    assert model.rows[2].context_window == 10


def test_all_that_a_row_can_say() -> None:
    block = {
        "vendor": "anthropic",
        "aliases": ["m", "n"],
        "for": "text",
        "context_window": 1000,
        "max_output_tokens": 100,
        "multipliers": {"fast": 2, "us": "1.1"},
        "web_search_usd": "0.02",
        "retires": "2030-01-01",
        "rates": {
            "standard": {"input": "1", "output": "2", "cache_write_1h": "3"},
            "standard>500": {"input": "2", "output": "4"},
            "batch": {"input": "0.4", "output": "0.8"},
            "scale": {"input": "9", "output": "9"},
        },
        "source": "contract",
        "as_of": "2026-01-01",
        "note": "ours",
    }
    table = TABLE.with_overrides({"mine": block})
    row = table.resolve("anthropic", "N").rows[0]
    assert (row.kind, row.retires, row.web_search_usd) == (
        "text",
        date(2030, 1, 1),
        Decimal("0.02"),
    )
    assert (row.source, row.as_of, row.note) == ("contract", "2026-01-01", "ours")
    assert usd(table, "m", Usage(100), "anthropic", tier="scale") == "0.0009"
    above = table.bands(row, "batch")[1]
    assert (above.mark, above.rates.input, above.rates.output) == (
        "band_rate_assumed",
        Decimal("0.8"),
        Decimal("1.6"),
    )


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (5, "must be a table of keys, not 5"),
        (None, "must be a table of keys, not nothing"),
        ("1.5", "must be a table of keys, not text"),
        ([], "no price row"),
        ([[]], "must be a table of keys, not a list"),
        ({}, "needs `input` and `output`"),
        ({"imput": "1", "output": "1"}, "unknown key 'imput' (did you mean 'input'?)"),
        ({"input": "1", "output": "1", 7: 1}, "unknown key 7 (one of "),
        ({"input": "1"}, "lacks `output`"),
        ({"output": "1"}, "lacks `input`"),
        ({"input": 1.5, "output": "1"}, 'input: must be an amount of USD such as "2.50", not 1.5'),
        ({"input": "x", "output": "1"}, "input: must be an amount"),
        ({"input": "-1", "output": "1"}, "input: must be between 0 and 1000000, not -1"),
        ({"input": "1e9", "output": "1"}, "input: must be between"),
        ({"input": "NaN", "output": "1"}, "input: must be an amount"),
        ({"input": "0.0000000000001", "output": "1"}, "more than 12 decimal places"),
        ({"rates": []}, "rates: must be a table by tier, not a list"),
        ({"rates": {"cheap": {}}}, "unknown 'cheap'"),
        ({"rates": {"batches": {}}}, "unknown 'batches' (did you mean 'batch'?)"),
        ({"rates": {"standard 5": {}}}, "a tier, or a tier and a band"),
        ({"rates": {5: {}}}, "a tier, or a tier and a band"),
        ({"rates": {"batch": "x"}}, "rates: batch: must be a table of rates, not text"),
        ({"rates": {"batch": {"inputs": 1}}}, "unknown kind 'inputs' (did you mean 'input'?)"),
        ({"rates": {"batch": {"input": "1", "output": "1"}}}, "needs `input` and `output`"),
        (
            {"input": "1", "output": "1", "rates": {"flex >9": {"input": "1", "output": "1"}}},
            "flex has a band >9, but no base rates",
        ),
        (
            {"input": "1", "output": "1", "rates": {"standard": {"input": "1", "output": "1"}}},
            "has its standard rates twice",
        ),
        (
            {"input": "1", "output": "1", "vendor": "acme"},
            "vendor must be one of anthropic, openai",
        ),
        ({"input": "1", "output": "1", "multipliers": 2}, "multipliers: must be a table, not 2"),
        ({"input": "1", "output": "1", "multipliers": {"eu": "2"}}, "multipliers: unknown 'eu'"),
        (
            {"input": "1", "output": "1", "multipliers": {"us": "0.5"}},
            "us: must be between 1 and 1000",
        ),
        ({"input": "1", "output": "1", "context_window": True}, "must be a number of tokens"),
        ({"input": "1", "output": "1", "context_window": "9"}, "must be a number of tokens"),
        ({"input": "1", "output": "1", "max_output_tokens": 0}, "must be a number of tokens"),
        ({"input": "1", "output": "1", "retires": "soon"}, "retires: must be a day such as"),
        ({"input": "1", "output": "1", "valid_from": NOW}, "valid_from: must be a day such as"),
        ({"input": "1", "output": "1", "aliases": "x"}, "aliases: must be a list of names"),
        ({"input": "1", "output": "1", "aliases": [""]}, "aliases: not the name of a model: ''"),
        ({"input": "1", "output": "1", "for": "video"}, "for: unknown 'video'"),
        (
            {
                "rates": {
                    "standard": {"input": "1", "output": "1"},
                    "standard >5": {"input": "2", "output": "2"},
                    "standard>5": {"input": "1", "output": "1"},
                }
            },
            "rates: standard>5: stands twice",
        ),
        (
            [{"input": "1", "output": "1"}, {"input": "1", "output": "1"}],
            "[1]: valid_from must be later",
        ),
        (
            [
                {"input": "1", "output": "1", "valid_from": "2026-01-02"},
                {"input": "1", "output": "1", "valid_from": "2026-01-02"},
            ],
            "[1]: valid_from must be later",
        ),
    ],
)
def test_a_wrong_row_says_what_is_wrong_and_where(block: Any, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TABLE.with_overrides({"mine": block})
    assert str(caught.value).startswith("prices: mine")
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201, 5, " mine", "mine "])
def test_a_wrong_name(name: Any) -> None:
    with pytest.raises(ConfigError, match="not the name of a model"):
        TABLE.with_overrides({name: {"input": "1", "output": "1"}})


def test_until_a_row_s_first_day_a_known_model_costs_as_before() -> None:
    later = {"valid_from": "2027-03-01", "input": "1", "output": "1"}
    for block in (later, [later, {**later, "valid_from": "2027-04-01", "input": "9"}]):
        model = TABLE.with_overrides({"claude-opus-4-8": block}).models["claude-opus-4-8"]
        before, after = NOW, datetime(2027, 3, 1, tzinfo=timezone.utc)
        assert model.at(before).rates == TABLE.models["claude-opus-4-8"].at(before).rates
        assert model.at(after).rates["standard", 0]["input"] == 1
    dated = TABLE.models["claude-sonnet-5-5"]
    first = min(row.valid_from for row in dated.rows if row.valid_from is not None)
    early = {**later, "valid_from": first}
    rows = TABLE.with_overrides({"claude-sonnet-5-5": early}).models["claude-sonnet-5-5"].rows
    assert [row.valid_from for row in rows] == [None, first]
    assert len(TABLE.with_overrides({"mine": later}).models["mine"].rows) == 1


def test_a_user_s_alias_wins_over_the_table() -> None:
    row = {"input": "1", "output": "1", "aliases": ["GPT-5.4", "claude-haiku-4-5-20251001"]}
    table = TABLE.with_overrides({"mine": row})
    for name in ("gpt-5.4", "openai/gpt-5.4", "claude-haiku-4-5-20251001"):
        assert table.resolve("openai", name).name == "mine"
    assert table.resolve("anthropic", "claude-haiku-4-5").price == "table"


def test_a_user_s_words_win_over_those_of_the_price_file() -> None:
    def row(usd: int, *aliases: str) -> dict[str, Any]:
        more = {"aliases": list(aliases)} if aliases else {}
        return {"vendor": "openai", "input": str(usd), "output": str(usd), **more}

    models = {"gpt-5.4": row(7), "theirs": row(8, "one", "two")}
    table = TABLE.with_file(json.dumps({"models": models}).encode(), "prices.json")
    for rows, name, owner in (
        ({"mine": row(1, "gpt-5.4")}, "gpt-5.4", "mine"),
        ({"mine": row(1, "theirs", "one")}, "theirs", "mine"),
        ({"mine": row(1, "theirs", "one")}, "one", "mine"),
        ({"mine": row(1, "theirs", "one")}, "two", "theirs"),
        ({"one": row(1)}, "one", "one"),
        ({"one": row(1)}, "theirs", "theirs"),
        # An alias that a row keeps is another row's, whichever stands first.
        ({"mine": row(1, "one"), "theirs": row(2)}, "one", "mine"),
        ({"theirs": row(2), "mine": row(1, "one")}, "one", "mine"),
        ({"mine": row(1, "one"), "theirs": row(2)}, "two", "theirs"),
    ):
        assert table.with_overrides(rows).resolve("openai", name).name == owner, rows


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ({"a": ["x"], "b": ["X"]}, "prices: b: the name X is taken by a"),
        ({"a": ["b"], "b": []}, "prices: b: the name b is taken by a"),
        ({"Mine": [], "mine": []}, "prices: mine: the name mine is taken by Mine"),
        ({"gpt-5.4": ["x"], "b": ["x"]}, "prices: b: the name x is taken by gpt-5.4"),
    ],
)
def test_no_name_means_two_of_a_user_s_rows(names: dict[str, list[str]], taken: str) -> None:
    rows = {n: {"input": "1", "output": "1", "aliases": aliases} for n, aliases in names.items()}
    with pytest.raises(ConfigError) as caught:
        TABLE.with_overrides(rows)
    assert str(caught.value) == taken


# -- unknown models --------------------------------------------------------------------------------


def test_no_unknown_model_passes() -> None:
    table = TABLE.with_overrides({}, "block")
    assert table.resolve("openai", "gpt-9").blocked
    assert table.resolve("openai", "nova").blocked
    assert not table.resolve("openai", "gpt-4o").blocked
    # Should one answer all the same, it is charged.
    assert usd(table, "gpt-9", Usage(1000)) == "0.03"


def test_one_price_for_every_unknown_model() -> None:
    table = TABLE.with_overrides(None, {"input": "1", "output": "2"})
    match = table.resolve("anthropic", "gpt-9")
    assert (match.name, match.how, match.price) == ("gpt-9", "unknown_model", "assumed")
    assert usd(table, "nova", Usage(1000, output_tokens=1000)) == "0.003"


@pytest.mark.parametrize("word", ["cheapest", 5, None])
def test_a_wrong_word_for_unknown_models(word: Any) -> None:
    with pytest.raises(ConfigError, match="dearest, block or a price row"):
        TABLE.with_overrides({}, word)


def test_a_wrong_price_for_unknown_models() -> None:
    with pytest.raises(ConfigError, match="unknown_model: lacks"):
        TABLE.with_overrides({}, {"input": "1"})


def test_an_unknown_model_costs_as_the_dearest_of_its_family_for_that_very_usage() -> None:
    match = TABLE.resolve("openai", "gpt-9")
    family = [
        m for m in TABLE.models.values() if m.name.startswith("gpt-") and m.vendor == "openai"
    ]
    plain = [m for m in family if not {"pro", "audio", "image", "search"} & set(m.name.split("-"))]
    assert len(match.models) < 15
    for used in (
        Usage(input_tokens=1000),
        Usage(cache_read_tokens=1000),
        Usage(output_tokens=1000),
        Usage(cache_write_12h_tokens=1000),
        Usage(input_tokens=300_000, output_tokens=10_000),
    ):
        for tier in ("default", "batch", "flex", "priority", "ultrafast"):
            dearest = max(Decimal(usd(TABLE, m.name, used, tier=tier)) for m in plain)
            assert Decimal(usd(TABLE, "gpt-9", used, tier=tier)) == dearest


def test_a_vendor_that_nobody_knows_has_the_dearest_of_all() -> None:
    assert TABLE.resolve("acme", "nova").priced_as == "o1-pro"


def test_an_empty_family_of_images() -> None:
    table = PriceTable.parse(b'{"models": {"a": {"input": "1", "output": "2"}}}')
    reading = Reading((Sampling(Usage(image_output_tokens=1000), None, "image"),), "a")
    assert str(table.cost("openai", reading, CALL, NOW).usd) == "0.002"
    assert str(usd(table, "a", Usage(1), web_searches=1)) == "0.000001"


def test_names_are_kept_only_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abg.pricing.table.MOST_NAMES", 3)
    table = TABLE.with_overrides()
    for number in range(10):
        table.resolve("openai", f"nova-{number}")
        assert len(table._matches) <= 3


def test_a_model_that_is_no_name_is_an_unknown_one() -> None:
    for model in (None, 5, [], {}):
        assert TABLE.resolve("openai", model).price == "assumed"  # type: ignore[arg-type]


# -- completing rates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "listed", "kind", "rate"),
    [
        ("anthropic", {}, "cache_read", "10"),
        ("anthropic", {}, "cache_write_5m", "12.5"),
        ("anthropic", {}, "cache_write_1h", "20"),
        ("anthropic", {}, "cache_write_12h", "20"),
        ("anthropic", {"cache_write_5m": "30"}, "cache_write_30m", "30"),
        ("openai", {}, "cache_write_30m", "10"),
        ("openai", {}, "cache_write_12h", "10"),
        ("openai", {"cache_write_30m": "13"}, "cache_write_12h", "25"),
        ("openai", {"cache_write_12h": "26"}, "cache_write_30m", "12.5"),
        ("openai", {"cache_write_30m": "13"}, "cache_write_5m", "13"),
        ("openai", {"cache_write_30m": "13"}, "cache_write_1h", "25"),
        ("openai", {}, "audio_input", "32"),
        ("openai", {"audio_input": "5"}, "audio_input", "5"),
        ("openai", {}, "audio_output", "50"),
    ],
)
def test_what_is_not_listed(vendor: str, listed: dict[str, str], kind: str, rate: str) -> None:
    rates = {"input": Decimal(10), "output": Decimal(50)}
    rates.update((key, Decimal(value)) for key, value in listed.items())
    unlisted = Unlisted(audio_input=Decimal(32), audio_output=Decimal(40))
    assert complete(rates, vendor, unlisted)[0].of(kind) == Decimal(rate)


def test_a_ratio_that_does_not_come_out_even_is_rounded_up() -> None:
    rates = {
        "standard": {"input": "3", "output": "0"},
        "standard >10": {"input": "5", "output": "0"},
        "flex": {"input": "2", "output": "0"},
    }
    row = TABLE.with_overrides({"mine": {"rates": rates}}).models["mine"].rows[0]
    above = TABLE.bands(row, "flex")[1]
    assert str(above.rates.input) == "3.333333333334"
    assert above.rates.output == 0


# -- the page about it -----------------------------------------------------------------------------

DOCS = Path(__file__).parents[2] / "docs"
in_a_checkout = pytest.mark.skipif(not DOCS.is_dir(), reason="docs are only in a checkout")


@in_a_checkout
def test_the_example_in_the_documents_is_right(tmp_path: Path) -> None:
    page = (DOCS / "money.md").read_text("utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    file = tmp_path / "abg.yaml"
    file.write_text(example, "utf-8")
    home = Places(tmp_path / "state", tmp_path / "config")
    config = load({"config": str(file)}, {}, tmp_path, home).config
    table = TABLE.with_overrides(config.prices, config.unknown_model)
    assert usd(table, "my-model", Usage(1000, 1000, output_tokens=1000)) == "0.00765"
    assert usd(table, "claude-opus-5-5", Usage(1000), "anthropic", geo="us") == "0.00396"
    assert usd(table, "new-model", Usage(300_000)) == "1.2"
    assert table.models["new-model"].rows[1].rates["standard", 272_000]["input"] == 4


@in_a_checkout
def test_every_mark_is_in_the_documents() -> None:
    page = (DOCS / "money.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in (DOCS.parent / "abg/pricing").glob("*.py"))
    marks = set(re.findall(r'"([a-z_]+_(?:requested|assumed)|unknown_tier|clamped)"', code))
    assert len(marks) > 10
    assert [mark for mark in sorted(marks) if f"`{mark}`" not in page] == []
