"""What is measured: each scenario drives one running subject and tells its figures.

Times are in microseconds, memory in bytes. The load and the fake vendor share one core, the
subject has the other; the CPU time is what the kernel booked on the subject's process.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import frozen
from machine import cpu_seconds, peak_memory, resident
from subjects import HERE, LOAD_CORE, OURS, PROXY_CORE, Started, start

__all__ = ["SCENARIOS", "Bench", "Figures", "build_tools", "command_costs", "write_bodies"]

Figures = dict[str, float]

# What Claude Code sends, apart from its id and key.
CLIENT_HEADERS = (
    "Accept: application/json",
    "User-Agent: claude-cli/2.1.331 (external, sdk-cli)",
    "X-Claude-Code-Session-Id: 00000000-0000-4000-8000-000000000001",
    "X-Stainless-Arch: x64",
    "X-Stainless-Lang: js",
    "X-Stainless-OS: Linux",
    "X-Stainless-Package-Version: 0.128.0",
    "X-Stainless-Retry-Count: 0",
    "X-Stainless-Runtime: node",
    "X-Stainless-Runtime-Version: v26.12.1",
    "X-Stainless-Timeout: 600",
    "anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14,effort-2025-11-24",
    "anthropic-dangerous-direct-browser-access: true",
    "anthropic-version: 2023-06-01",
    "x-api-key: sk-ant-fake",
    "x-app: cli",
    "Accept-Encoding: gzip, deflate, br, zstd",
)


@frozen
class Bench:
    """How long, and with what."""

    folder: Path
    scale: float
    """1: the long form; less for a quick look."""

    def times(self, count: int, least: int = 1) -> int:
        return max(least, int(count * self.scale))


def build_tools(folder: Path) -> None:
    """Compile the vendor and the load generator.

    Raises:
        RuntimeError: gcc is missing, or says no.
    """
    for name in ("vendor", "load"):
        source = HERE / "src" / f"{name}.c"
        command = ["gcc", "-O2", "-Wall", "-D_GNU_SOURCE", "-o", str(folder / name), str(source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise RuntimeError("gcc is not installed") from None
        if done.returncode:
            raise RuntimeError(done.stderr)


def write_bodies(folder: Path) -> None:
    """The requests' bodies: what an agent sends, in four sizes."""
    (folder / "json.body").write_text(_body(2_000, False))
    (folder / "stream.body").write_text(_body(2_000, True))
    (folder / "big.body").write_text(_body(500_000, False))
    (folder / "huge.body").write_text(_body(10_000_000, False))
    (folder / "chat.body").write_text(
        json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x" * 1_900}]})
    )


def _body(size: int, stream: bool) -> str:
    """A conversation of tool calls and their results, with the escapes that code brings."""
    text = 'def answer(self) -> int:\n    return "\\u00e9" if self.x < 3 else {"a": [1, 2]}  # é\n'
    asked: dict[str, Any] = {"model": "claude-opus-5-5", "stream": stream, "max_tokens": 4096}
    told = {"device_id": "0" * 64, "session_id": "00000000-0000-4000-8000-000000000001"}
    asked["metadata"] = {"user_id": json.dumps(told)}
    asked["system"] = [{"type": "text", "text": text * max(1, size // 1_000)}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Please fix the tests."}]
    asked["messages"] = messages
    length = len(json.dumps(asked))
    number = 0
    while length < size - 800:
        room = min(size - length, 6_000) - 300
        number += 1
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "Bash"}
        ran = {"role": "assistant", "content": [{**call, "input": {"command": "cat a.py"}}]}
        result = (text * (room // len(json.dumps(text)) + 1))[: room * 4 // 5]
        block = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": result}
        pair = [ran, {"role": "user", "content": [block]}]
        messages += pair
        length += len(json.dumps(pair))
    return json.dumps(asked, ensure_ascii=False, separators=(",", ":"))


def load(
    bench: Bench, to: Started, body: str, *, events: int = 0, pace_us: int = 0, **options: int
) -> dict[str, Any]:
    """Run the load generator once; its figures.

    Raises:
        RuntimeError: an answer did not come whole.
    """
    if not to.subject.streams and body == "json.body":
        body = "chat.body"
    command = ["taskset", "-c", str(LOAD_CORE), str(bench.folder / "load"), str(to.port)]
    command += ["--body", str(bench.folder / body), "--path", to.subject.path]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    for header in headers(to):
        command += ["--header", header]
    if events:
        command += ["--header", f"x-bench-events: {events}"]
        command += ["--header", f"x-bench-pace-us: {pace_us}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout)
    expected = options.get("connections", 1) * options.get("repeat", 1)
    if figures["failed"] or figures["complete"] != expected:
        told = figures["complaint"]
        raise RuntimeError(f"{figures['complete']} of {expected} answers came whole: {told}")
    if events and figures["events"] != events * expected:
        raise RuntimeError(f"{figures['events']} of {events * expected} events came")
    return figures


def headers(to: Started) -> list[str]:
    """What the client sends to a subject."""
    vendor = str(to.vendor_port)
    return [*CLIENT_HEADERS, *(header.replace("{vendor}", vendor) for header in to.subject.headers)]


def _spent(to: Started, work: Callable[[], Any]) -> tuple[Any, float]:
    """What some work gives, and the CPU seconds that it cost the subject."""
    if to.program is None:
        return work(), 0.0
    before = cpu_seconds(to.program.pid)
    result = work()
    # What the subject still does behind the last answer (its ledger line) is part of the price.
    time.sleep(0.15)
    return result, cpu_seconds(to.program.pid) - before


def small_json(bench: Bench, to: Started) -> Figures:
    """2 kB asked, 2 kB answered, 32 connections, by wrk."""
    script = bench.folder / f"wrk-{to.port}.lua"
    body = bench.folder / ("json.body" if to.subject.streams else "chat.body")
    lines = ['wrk.method = "POST"', f"wrk.body = io.open({json.dumps(str(body))}):read('*a')"]
    lines.append('wrk.headers["Content-Type"] = "application/json"')
    for header in headers(to):
        name, _, value = header.partition(": ")
        lines.append(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}")
    lines.append(
        "done = function(summary, latency, requests) io.write(string.format("
        "'figures %d %d %d %d\\n', summary.requests, summary.duration, "
        "summary.errors.status + summary.errors.read + summary.errors.timeout, "
        "latency:percentile(50))) end"
    )
    script.write_text("\n".join(lines), "utf-8")
    seconds = max(1, round(5 * bench.scale))
    url = f"http://127.0.0.1:{to.port}{to.subject.path}"
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", "-c32", f"-d{seconds}s"]
    command += ["-s", str(script), url]

    def work() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    said, spent = _spent(to, work)
    found = re.search(r"figures (\d+) (\d+) (\d+) (\d+)", said)
    if found is None or found[3] != "0" or found[1] == "0":
        raise RuntimeError(f"wrk: {said}")
    count, microseconds, _, median = (int(found[n]) for n in range(1, 5))
    return {
        "json_cpu": spent / count * 1e6,
        "json_rate": count / microseconds * 1e6,
        "json_p50": float(median),
    }


def big_json(bench: Bench, to: Started) -> Figures:
    """A real agent's body: 500 kB asked, 2 kB answered, 8 connections."""
    count = bench.times(150, 10)
    _, spent = _spent(to, lambda: load(bench, to, "big.body", connections=8, repeat=count))
    return {"big_cpu": spent / (8 * count) * 1e6}


def huge_json(bench: Bench, to: Started) -> Figures:
    """10 MB asked, one after another."""
    count = bench.times(15, 3)
    before = 0 if to.program is None else resident(to.program.pid)
    told, spent = _spent(to, lambda: load(bench, to, "huge.body", repeat=count))
    figures = {"huge_p50": told["whole_us"]["p50"], "huge_cpu": spent / count * 1e6}
    if to.program is not None:
        figures["huge_kept"] = float(resident(to.program.pid) - before)
    return figures


def paced(bench: Bench, to: Started) -> Figures:
    """64 streams whose events are 10 ms apart, each at its own beat."""
    count = bench.times(500, 50)
    told, spent = _spent(
        to,
        lambda: load(
            bench, to, "stream.body", connections=64, stagger_us=157, events=count, pace_us=10_000
        ),
    )
    return {
        "paced_cpu": spent / told["events"] * 1e6,
        "paced_p50": told["delay_us"]["p50"],
        "paced_p99": told["delay_us"]["p99"],
    }


def unpaced(bench: Bench, to: Started) -> Figures:
    """16 streams as fast as they go."""
    count = bench.times(20_000, 500)
    told, spent = _spent(
        to, lambda: load(bench, to, "stream.body", connections=16, events=count, pace_us=0)
    )
    return {
        "unpaced_cpu": spent / told["events"] * 1e6,
        "unpaced_rate": told["events"] / told["seconds"],
    }


def first_event(bench: Bench, to: Started) -> Figures:
    """One connection kept alive, short streams one after another."""
    count = bench.times(400, 40)
    told = load(bench, to, "stream.body", repeat=count, events=3)
    return {"first_p50": told["first_us"]["p50"]}


def thousand(bench: Bench, to: Started) -> Figures:
    """1,000 streams that start over two seconds and are all open at once, 100 ms apart."""
    count, streams = max(25, bench.times(40)), 1_000
    told, spent = _spent(
        to,
        lambda: load(
            bench,
            to,
            "stream.body",
            connections=streams,
            stagger_us=2_000,
            events=count,
            pace_us=100_000,
        ),
    )
    figures = {
        "thousand_first_p50": told["first_us"]["p50"],
        "thousand_p99": told["delay_us"]["p99"],
        "thousand_cpu": spent / told["events"] * 1e6,
    }
    if to.program is not None:
        figures["thousand_peak"] = float(peak_memory(to.program.pid))
    return figures


SCENARIOS: dict[str, Callable[[Bench, Started], Figures]] = {
    "json": small_json,
    "big": big_json,
    "first": first_event,
    "paced": paced,
    "unpaced": unpaced,
    "thousand": thousand,
    "huge": huge_json,
}


def command_costs(bench: Bench, vendor_port: int) -> Figures:
    """CPU of abg's short commands, the proxy running: microseconds, the median of some runs."""
    abg = next(subject for subject in OURS if subject.name == "abg")
    running = start(abg, bench.folder / "commands", vendor_port)
    environment = {**os.environ, "XDG_STATE_HOME": str(bench.folder / "commands" / "state")}
    url = f"http://127.0.0.1:{running.port}"
    told = json.dumps({"session_id": "s", "model": {"id": "claude-opus-5-5"}, "cost": {}})
    commands = {
        "help_cpu": ["--help"],
        "status_cpu": ["status", "--url", url],
        "statusline_cpu": ["statusline", "--url", url],
    }
    figures = {}
    try:
        for name, arguments in commands.items():
            spent = sorted(
                _command_cpu([sys.executable, "-m", "abg", *arguments], environment, told)
                for _ in range(bench.times(15, 3))
            )
            figures[name] = spent[len(spent) // 2] * 1e6
    finally:
        running.stop()
    return figures


def _command_cpu(command: list[str], environment: dict[str, str], stdin: str) -> float:
    before = _children()
    done = subprocess.run(
        ["taskset", "-c", str(PROXY_CORE), *command],
        env={**environment, "PYTHONPATH": str(HERE.parent)},
        input=stdin.encode(),
        capture_output=True,
        check=False,
    )
    spent = _children() - before
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode('utf-8', 'replace')}")
    return spent


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
