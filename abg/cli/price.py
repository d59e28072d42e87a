"""``abg price``: what a usage costs, line by line, so that a doubted number can be checked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from abg.cli.prices import moment, table_in_use
from abg.errors import AbgError, ConfigError
from abg.money import show_exactly

if TYPE_CHECKING:
    from abg.call import Call
    from abg.pricing import Cost, CostLine, Match, PriceTable
    from abg.usage import Reading

__all__ = ["add_price"]

DIALECTS = (
    "anthropic",
    "openai_responses",
    "openai_chat",
    "openai_completions",
    "openai_embeddings",
)


def add_price(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The usage is what a vendor sent: a usage object, a whole response, or a stream of events\n"
        "(on standard input without --usage). The tier, speed and region in it count; --tier,\n"
        "--speed and --geo stand for the request's."
    )
    parser.add_argument("--model", metavar="NAME", help="the requested model")
    parser.add_argument("--usage", metavar="JSON", help="usage or response; default: stdin")
    parser.add_argument("--dialect", choices=DIALECTS, help="default: by what the JSON looks like")
    parser.add_argument("--tier", help="service tier of the request")
    parser.add_argument("--speed", help="speed of the request")
    parser.add_argument("--geo", help="inference_geo of the request")
    parser.add_argument(
        "--at", metavar="TIME", type=moment, help="priced as of this day or time (default: now)"
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration whose prices count")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    parser.set_defaults(run=price)


def price(arguments: argparse.Namespace) -> int:
    """Print the cost of a usage with its arithmetic."""
    from abg.call import Call
    from abg.dialects import DIALECTS as KNOWN

    table = table_in_use(arguments.config)
    text = arguments.usage
    if text is None:
        if sys.stdin.isatty():
            print("a usage or a response, then the end of input (Ctrl-D):", file=sys.stderr)
        text = sys.stdin.read()
    name, body = recognised(
        text, arguments.dialect, arguments.model, lambda model: _vendor_of(table, model)
    )
    dialect = KNOWN[name]
    call = Call(
        dialect=name,
        endpoint="",
        model=arguments.model or "",
        tier=arguments.tier,
        speed=arguments.speed,
        geo=arguments.geo,
    )
    meter = dialect.meter(call)
    meter.feed(body)
    meter.end(True)
    reading = meter.reading
    if not reading.final:
        raise AbgError("there is no final usage in it: such a call is charged by an estimate")
    if not reading.model and not call.model:
        raise ConfigError("of which model? give --model NAME")
    at = arguments.at or datetime.now(timezone.utc)
    cost = table.cost(dialect.vendor, reading, call, at)
    lines = table.explain(dialect.vendor, reading, call, at)
    if arguments.json:
        print(json.dumps(_as_data(cost, lines), indent=1))
        return 0
    match = table.resolve(dialect.vendor, reading.model or call.model)
    print("\n".join(_shown(reading, call, match, cost, lines)))
    return 0


def _vendor_of(table: PriceTable, model: str) -> str:
    from abg.pricing.rows import vendor_of

    return table.resolve(vendor_of(model), model).models[0].vendor


def recognised(
    text: str, dialect: str | None, model: str | None, vendor_of: Callable[[str], str]
) -> tuple[str, bytes]:
    """The dialect that a text is in, and the text as an answer of that dialect.

    Args:
        vendor_of: whose a model is; asked where the text does not show its dialect.

    Raises:
        AbgError: it is neither JSON nor a stream of events.
    """
    text = text.strip()
    if not text:
        raise AbgError("nothing to price: give --usage JSON, or a response on standard input")
    if text.startswith(("event:", "data:", ":")):
        return dialect or _dialect_of_stream(text), f"{text}\n\n".encode()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise AbgError(f"neither JSON nor a stream of events: {error}") from None
    if not isinstance(value, dict):
        raise AbgError("a usage is a JSON object")
    usage = value.get("usage", value)
    if not isinstance(usage, dict) or not _COUNTS & usage.keys():
        raise AbgError("there is no usage in it")
    name = dialect or _dialect_of(value, usage)
    if name is None:
        told = value.get("model") or model
        openai = isinstance(told, str) and vendor_of(told) == "openai"
        name = "openai_responses" if openai else "anthropic"
    if usage is not value:
        return name, text.encode()
    frame = {**_FRAMES[name], "usage": usage}
    if model:
        frame["model"] = model
    if name.startswith("openai") and "service_tier" in usage:
        frame["service_tier"] = usage["service_tier"]
    return name, json.dumps(frame).encode()


_COUNTS = frozenset(("input_tokens", "output_tokens", "prompt_tokens", "iterations"))
_ANTHROPIC = frozenset(
    ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "iterations")
)
_FRAMES: dict[str, dict[str, Any]] = {
    # Some output, so that it is no refusal that nobody is billed for.
    "anthropic": {"type": "message", "content": [{"type": "text", "text": "…"}]},
    "openai_responses": {"object": "response", "status": "completed", "output": []},
    "openai_chat": {"object": "chat.completion", "choices": []},
    "openai_completions": {"object": "text_completion", "choices": []},
    "openai_embeddings": {"object": "list", "data": []},
}


def _dialect_of_stream(text: str) -> str:
    if "message_start" in text or "message_delta" in text:
        return "anthropic"
    return (
        "openai_responses"
        if '"response.' in text or "response.completed" in text
        else ("openai_chat")
    )


def _dialect_of(answer: dict[str, Any], usage: dict[str, Any]) -> str | None:
    """None: both vendors write such a usage."""
    kind = answer.get("object")
    for name, frame in _FRAMES.items():
        if kind is not None and frame.get("object") == kind:
            return name
    if "prompt_tokens" in usage:
        return "openai_chat" if "completion_tokens" in usage else "openai_embeddings"
    if "input_tokens_details" in usage or "total_tokens" in usage:
        return "openai_responses"
    return "anthropic" if answer.get("type") == "message" or _ANTHROPIC & usage.keys() else None


def _shown(
    reading: Reading, call: Call, match: Match, cost: Cost, lines: tuple[CostLine, ...]
) -> Iterator[str]:
    from abg.home.present import columns

    asked = reading.model or call.model
    row = "" if match.name == asked else f" = {match.name}"
    priced = "" if match.price == "table" else f", price: {match.price}"
    if match.price == "assumed":
        priced += f" ({match.priced_as})"
    yield f"{asked}{row}{priced}"
    if lines:
        yield from columns([tuple(_cells(line)) for line in lines])
    if not reading.billed:
        yield "  the vendor does not bill this answer"
    yield f"  total  ${show_exactly(cost.usd)}"
    if cost.marks:
        yield f"  marks: {', '.join(cost.marks)}"


def _cells(line: CostLine) -> Iterator[str]:
    each = line.usd_per_million
    yield f"  {line.kind.replace('_', ' ')}"
    yield f"{line.tokens:,}".replace(",", " ")
    if line.kind == "web_search":
        yield f"x ${show_exactly(each / 1_000_000)}"
    else:
        yield f"x ${show_exactly(each)} / 1M"
    yield f"= ${show_exactly(line.usd)}"
    yield f"{line.model}" + (f": {line.note}" if line.note else "")


def _as_data(cost: Cost, lines: tuple[CostLine, ...]) -> dict[str, Any]:
    return {
        "usd": show_exactly(cost.usd),
        "price": cost.price,
        "marks": list(cost.marks),
        "lines": [
            {
                "kind": line.kind,
                "tokens": line.tokens,
                "usd_per_million": show_exactly(line.usd_per_million),
                "usd": show_exactly(line.usd),
                "model": line.model,
                "note": line.note,
            }
            for line in lines
        ],
    }
