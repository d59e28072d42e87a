"""``abg prices`` and ``abg price`` as a person uses them."""

from __future__ import annotations

import argparse
import http.server
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from abg.cli.price import add_price
from abg.cli.price_update import fetch
from abg.cli.prices import add_prices, moment, price_file
from abg.errors import AbgError, ConfigError
from abg.test.test_priceimport import OPUS, litellm

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "ABG_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def prices(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return _runner(add_prices, capsys)


@pytest.fixture
def price(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return _runner(add_price, capsys)


def _runner(
    add: Callable[[argparse.ArgumentParser], None], capsys: pytest.CaptureFixture[str]
) -> Run:
    def run(*words: str) -> tuple[int, str]:
        parser = argparse.ArgumentParser()
        add(parser)
        arguments = parser.parse_args(list(words))
        code: int = arguments.run(arguments)
        return code, capsys.readouterr().out

    return run


# -- list, show, check -----------------------------------------------------------------------------


def test_the_table_is_listed_and_filtered(prices: Run) -> None:
    code, out = prices()
    assert code == 0
    assert len(out.splitlines()) > 120
    code, out = prices("opus", "5-5")
    head, row, _, foot = out.splitlines()
    assert head.split() == ["model", "input", "cached", "write", "output", "window", "also"]
    assert " ".join(row.split()) == ("claude-opus-5-5 4 0.2 5 20 1 000 000 batch, fast x2, us x1.1")
    assert foot == "USD per million tokens; 1 models, data of 2026-11-24."
    assert ">272k" in prices("list", "gpt-6-astra")[1]
    assert "retires 2027-01-14" in prices("gpt-4o-mini")[1]
    # An alias finds its model.
    assert "claude-opus-5-5 " in prices("list", "opus")[1]


def test_nothing_by_that_name(prices: Run) -> None:
    assert prices("nova") == (
        1,
        "no model has nova in its name (abg prices show NAME: its price)\n",
    )


def test_the_list_as_json(prices: Run) -> None:
    (row,) = json.loads(prices("list", "sonnet-5-5", "--json", "--at", "2026-10-07")[1])
    assert (row["model"], row["valid_from"]) == ("claude-sonnet-5-5", None)
    assert row["rates"]["standard"]["cache_read"] == "0.2"
    (row,) = json.loads(prices("sonnet-5-5", "--json", "--at", "2026-10-08")[1])
    assert (row["valid_from"], row["rates"]["standard"]["cache_read"]) == ("2026-10-08", "0.1")


def test_one_model_is_explained(prices: Run) -> None:
    out = prices("show", "us.anthropic.claude-sonnet-5-5-20260909-v1:0", "--at", "2026-11-25")[1]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "us.anthropic.claude-sonnet-5-5-20260909-v1:0: claude-sonnet-5-5 "
        "(its name without the snapshot's date)",
        "vendor anthropic",
        "context window 1 000 000 tokens",
        "output at most 128 000 tokens",
        "aliases sonnet",
        "price since the beginning",
        "price since 2026-10-08 <- these",
        "USD per million tokens input cache read cache write 5m cache write 1h output",
        "standard 2 0.1 2.5 4 10",
        "batch 1 0.05 1.25 2* 5",
        "priority 2* 0.1* 2.5* 4* 10*",
        "* not listed for this model: by the vendor's rule",
        "us x1.1 on all tokens",
        "web search $0.01 each",
        "source litellm 1.110.2, genai-prices 0.2.3, as of 2026-11-24",
    ]


def test_what_is_special_about_a_model_is_shown(prices: Run) -> None:
    out = prices("show", "gpt-5.5")[1]
    assert "  standard >272 000 input     10           1      45\n" in out
    assert "  priority >272 000 input    25*        2.5*  112.5*\n" in out
    draw = prices("show", "gpt-image-1")[1]
    assert "  note              input and cached input at the image rate" in draw
    assert "  retires           2026-10-23" in draw
    assert "(the dearest known: this model's own fee is not listed)" in draw
    assert "context window" not in draw
    assert json.loads(prices("show", "GPT-4o", "--json")[1])["model"] == "gpt-4o"


def test_an_unknown_model_says_what_it_would_cost_as(prices: Run, home: Path) -> None:
    out = prices("show", "claude-opus-9")[1]
    assert out.startswith(
        "claude-opus-9: not in the table; the dearest of all models that begin claude-opus counts\n"
        "  here: claude-opus-4-0\n"
    )
    assert "models of openai counts" in prices("show", "nova")[1]
    Path("own.yaml").write_text("unknown_model: block\n")
    out = prices("show", "nova", "--config", "own.yaml")[1]
    assert "and your unknown_model: block refuses it" in out
    Path("own.yaml").write_text("unknown_model: {input: 1, output: 2}\n")
    out = prices("show", "nova", "--config", "own.yaml")[1]
    assert out.startswith("nova: not in the table; priced by your unknown_model\n")


def test_a_name_is_needed_to_show(prices: Run) -> None:
    with pytest.raises(ConfigError, match="which model"):
        prices("show")


def test_check_says_how_old_and_whose(prices: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "your own rows: 0\nunknown models: priced as the dearest" in prices("check")[1]
    monkeypatch.setattr("abg.cli.prices.OLD_DAYS", -10_000)
    assert "worth a look: abg prices update" in prices("check")[1]
    Path("own.yaml").write_text("prices: {mine: {input: 1, output: 2.5}}\nunknown_model: block\n")
    out = prices("check", "--config", "own.yaml")[1]
    assert "your own rows: 1 (mine)\n" in out
    assert "unknown models: refused\n" in out
    out = prices("mine", "--config", "own.yaml")[1]
    assert "2.5" in out
    assert "yours" in out
    assert "source            your own row" in prices("show", "mine", "--config", "own.yaml")[1]
    Path("own.yaml").write_text("unknown_model: {input: 1, output: 2.5}\n")
    assert "priced by your own row" in prices("check", "--config", "own.yaml")[1]


def test_check_names_a_wrong_row(prices: Run) -> None:
    Path("own.yaml").write_text("prices:\n  mine: {input: 1, outptu: 2}\n")
    with pytest.raises(ConfigError, match=r"outptu.*output"):
        prices("check", "--config", "own.yaml")


# -- update ----------------------------------------------------------------------------------------


@pytest.fixture
def source(home: Path) -> str:
    path = home / "map.json"
    bad = {**OPUS, "input_cost_per_token": -1}
    dear = {**OPUS, "input_cost_per_token": 5e-06}
    path.write_bytes(litellm(claude_opus_5_5=dear, claude_new=OPUS, claude_bad=bad))
    return str(path)


def test_update_shows_asks_and_writes(
    prices: Run, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = price_file()
    with pytest.raises(AbgError, match="nobody to ask"):
        prices("update", "--from", source)
    _answer(monkeypatch, "n")
    code, out = prices("update", "--from", source)
    assert code == 1
    assert out.splitlines()[0].startswith("left out: claude-bad: rates")
    assert "claude-opus-5-5\n  standard input: 4 -> 5\n" in out
    assert "claude-new (new)\n  standard: input 4, cache_read 0.2" in out
    assert out.endswith("nothing was written\n")
    assert not target.exists()
    _answer(monkeypatch, "Y")
    assert prices("update", "--from", source, "opus")[0] == 0
    assert list(json.loads(target.read_text())["models"]) == ["claude-opus-5-5"]
    # A second time only the rest is new, and what was taken over stays.
    code, out = prices("update", "--yes", "--from", source)
    assert code == 0
    assert "claude-opus-5-5" not in out
    assert sorted(json.loads(target.read_text())["models"]) == ["claude-new", "claude-opus-5-5"]
    assert "nothing to change: 2 models of litellm agree" in prices("update", "--from", source)[1]
    assert "your own rows: 2 (claude-new, claude-opus-5-5)\n  those of " in prices("check")[1]
    assert "source            your own row, litellm, as of 20" in prices("show", "claude-new")[1]


def _answer(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr("builtins.input", lambda prompt: answer)


def test_update_needs_a_source_that_can_be_read(prices: Run, home: Path) -> None:
    with pytest.raises(ConfigError, match="from where"):
        prices("update")
    with pytest.raises(AbgError, match="No such file"):
        prices("update", "--from", "missing.json")
    with pytest.raises(AbgError, match="only over https"):
        prices("update", "--from", "http://example.org/map.json")


def test_update_into_a_folder_that_cannot_be_written(prices: Run, source: str) -> None:
    price_file().parent.parent.mkdir(parents=True)
    price_file().parent.write_text("a file where the folder should be")
    with pytest.raises((AbgError, OSError)):
        prices("update", "--yes", "--from", source)


def test_a_damaged_price_file_is_named(prices: Run) -> None:
    price_file().parent.mkdir(parents=True)
    price_file().write_text("{")
    with pytest.raises(ConfigError, match=r"prices\.json"):
        prices()
    price_file().unlink()
    price_file().mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        prices()


class _Shelf(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/map.json" else 404)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Shelf)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.mark.parametrize(("path", "said"), [("/map.json", "b'{}'"), ("/none", "answered 404")])
def test_a_download(shelf: str, path: str, said: str) -> None:
    program = (
        "import sys\nfrom abg.cli.price_update import fetch\nfrom abg.errors import AbgError\n"
        "try: print(fetch(sys.argv[1]))\nexcept AbgError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, shelf + path], capture_output=True, text=True, timeout=30
    )
    assert said in done.stdout, done.stderr


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff")
    assert fetch(str(tmp_path / "x")) == b"\xff"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-10-07", "2026-10-07T23:59:59+00:00"),
        ("2026-10-07T10:00:00Z", "2026-10-07T10:00:00+00:00"),
        ("2026-10-07T10:00:00", "2026-10-07T10:00:00+00:00"),
        ("2026-10-07T10:00:00+02:00", "2026-10-07T10:00:00+02:00"),
    ],
)
def test_moments(written: str, meant: str) -> None:
    assert moment(written).isoformat() == meant


def test_no_moment() -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        moment("yesterday")


# -- abg price -------------------------------------------------------------------------------------


def test_a_usage_is_priced_line_by_line(price: Run) -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 50_000,
        "output_tokens": 500,
        "server_tool_use": {"web_search_requests": 2},
        "speed": "fast",
    }
    code, out = price("--model", "claude-opus-5-5[1m]", "--usage", json.dumps(usage))
    assert code == 0
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "claude-opus-5-5[1m] = claude-opus-5-5",
        "input 10 x $8 / 1M = $0.00008 claude-opus-5-5: x2",
        "cache read 50 000 x $0.4 / 1M = $0.02 claude-opus-5-5: x2",
        "output 500 x $40 / 1M = $0.02 claude-opus-5-5: x2",
        "web search 2 x $0.01 = $0.02 claude-opus-5-5",
        "total $0.06008",
    ]


def test_a_response_on_standard_input(price: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {
        "object": "response",
        "model": "gpt-9",
        "status": "completed",
        "output": [],
        "service_tier": "warp",
        "usage": {"input_tokens": 1000, "output_tokens": 0},
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(answer)))
    out = price()[1]
    assert out.startswith("gpt-9, price: assumed (gpt-6-cyber)\n")
    assert out.endswith("total  $0.03\n  marks: unknown_tier\n")


def test_a_stream_on_standard_input(price: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = (
        'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-opus-5",'
        '"usage":{"input_tokens":1000,"output_tokens":1}}}\n\n'
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        '"usage":{"output_tokens":100}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n'
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(stream))
    assert price()[1].endswith("total  $0.0075\n")
    responses = (
        'event: response.completed\ndata: {"type":"response.completed","response":{"model":'
        '"gpt-4.1","usage":{"input_tokens":1000,"output_tokens":0}}}\n'
    )
    assert price("--usage", responses)[1].endswith("total  $0.002\n")
    chat = (
        'data: {"object":"chat.completion.chunk","model":"gpt-4.1","choices":[],"usage":'
        '{"prompt_tokens":1000,"completion_tokens":0}}\n\ndata: [DONE]\n'
    )
    assert price("--usage", chat)[1].endswith("total  $0.002\n")


@pytest.mark.parametrize(
    ("model", "usage", "usd"),
    [
        ("gpt-4.1", {"prompt_tokens": 1000, "completion_tokens": 0}, "0.002"),
        ("text-embedding-3-small", {"prompt_tokens": 1000, "total_tokens": 1000}, "0.00002"),
        ("gpt-4.1", {"input_tokens": 1000, "output_tokens": 0, "total_tokens": 1000}, "0.002"),
        (
            "gpt-4.1",
            {"input_tokens": 1000, "output_tokens": 0, "total_tokens": 0, "service_tier": "flex"},
            "0.001",
        ),
        ("claude-opus-5", {"input_tokens": 1000, "output_tokens": 0}, "0.005"),
    ],
)
def test_a_bare_usage_is_recognised(
    price: Run, model: str, usage: dict[str, Any], usd: str
) -> None:
    out = json.loads(price("--model", model, "--usage", json.dumps(usage), "--json")[1])
    assert out["usd"] == usd
    assert out["lines"][0]["tokens"] == 1000


def test_the_request_and_the_day_count_too(price: Run) -> None:
    usage = '{"cache_read_input_tokens": 1000000, "input_tokens": 0, "output_tokens": 0}'
    words = ("--model", "claude-sonnet-5-5", "--usage", usage, "--geo", "us")
    out = price(*words, "--at", "2026-10-07")[1]
    assert "total  $0.22\n  marks: geo_requested" in out
    tier = ("--dialect", "openai_chat", "--tier", "priority")
    usage = '{"prompt_tokens": 1000, "completion_tokens": 0}'
    assert "$0.0035" in price("--model", "gpt-4.1", "--usage", usage, *tier)[1]
    # Both vendors write this one: whose it is, the model says.
    usage = '{"input_tokens": 1000, "output_tokens": 0}'
    priority = ("--usage", usage, "--tier", "priority")
    assert "$0.0035\n  marks: tier_requested" in price("--model", "gpt-4.1", *priority)[1]
    assert "$0.004\n" in price("--model", "opus", *priority)[1]


def test_an_answer_that_is_not_billed(price: Run) -> None:
    answer = {
        "type": "message",
        "model": "claude-opus-5",
        "content": [],
        "stop_reason": "refusal",
        "usage": {"input_tokens": 5000, "output_tokens": 1},
    }
    out = price("--usage", json.dumps(answer))[1]
    assert out == "claude-opus-5\n  the vendor does not bill this answer\n  total  $0\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (" ", "nothing to price"),
        ("nonsense", "neither JSON nor a stream"),
        ("[5]", "a usage is a JSON object"),
        ("{}", "there is no usage in it"),
        ('{"usage": 5}', "there is no usage in it"),
        ('{"input_tokens": 5, "output_tokens": 1}', "of which model"),
        ("data: {}", "there is no final usage in it"),
    ],
)
def test_what_cannot_be_priced(price: Run, text: str, says: str) -> None:
    with pytest.raises(AbgError, match=says):
        price("--usage", text)
