"""The gateways that a user would pick instead, each in a throw-away environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from attrs import evolve
from subjects import Subject

__all__ = ["install"]

CHAT = "/v1/chat/completions"
KEY = "sk-benchmark-only-0123456789abcdef0123456789abcdef"
"""LiteLLM does not start without a key of its own."""


def install(folder: Path) -> list[Subject]:
    """Install the peers below ``folder`` (what is there already is used) and tell how they start.

    A peer that cannot be installed is left out, with the reason on stderr.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for peer in (_mitmproxy, _litellm, _portkey):
        try:
            found.append(peer(folder))
        except (OSError, subprocess.CalledProcessError) as problem:
            print(f"{peer.__name__[1:]} is left out: {problem}", file=sys.stderr)
    return found


def _environment(folder: Path, *packages: str) -> Path:
    """The ``bin`` folder of a virtual environment with some packages."""
    binaries = folder / "bin"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(binaries / "python"), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, *packages], check=True)
        (folder / "complete").touch()
    return binaries


def _mitmproxy(folder: Path) -> Subject:
    program = _environment(folder / "mitmproxy", "mitmproxy") / "mitmdump"

    def command(place: Path, port: int, vendor: int) -> list[str]:
        told = [str(program), "-q", "--mode", f"reverse:http://127.0.0.1:{vendor}"]
        told += ["--listen-host", "127.0.0.1", "-p", str(port), "--set", f"confdir={place}"]
        # Otherwise it holds a stream back until its end.
        return [*told, "--set", "stream_large_bodies=1"]

    return Subject("mitmproxy", command)


def _litellm(folder: Path) -> Subject:
    program = _environment(folder / "litellm", "litellm[proxy]") / "litellm"

    def command(place: Path, port: int, vendor: int) -> list[str]:
        config = place / "litellm.yaml"
        config.write_text(
            "model_list:\n"
            "  - model_name: gpt-4o-mini\n"
            "    litellm_params:\n"
            "      model: openai/gpt-4o-mini\n"
            f"      api_base: http://127.0.0.1:{vendor}/v1\n"
            "      api_key: sk-fake\n"
            f"general_settings:\n  master_key: {KEY}\n",
            "utf-8",
        )
        told = [str(program), "--config", str(config), "--host", "127.0.0.1"]
        return [*told, "--port", str(port), "--num_workers", "1"]

    asks = (f"authorization: Bearer {KEY}",)
    return Subject("LiteLLM", command, path=CHAT, headers=asks, streams=False, patience=120.0)


def _portkey(folder: Path) -> Subject:
    place = folder / "portkey"
    server = place / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not server.exists():
        if shutil.which("npm") is None:
            raise OSError("npm is not installed")
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"private": true}\n', "utf-8")
        install_it = ["npm", "install", "--no-audit", "--no-fund", "@portkey-ai/gateway"]
        subprocess.run(install_it, cwd=place, check=True, stdout=subprocess.DEVNULL)

    def command(run_in: Path, port: int, vendor: int) -> list[str]:
        return ["node", str(server), f"--port={port}", "--headless"]

    subject = Subject("Portkey", command, path=CHAT, streams=False, patience=60.0)
    headers = ("x-portkey-provider: openai", "authorization: Bearer sk-fake")
    return evolve(
        subject, headers=(*headers, "x-portkey-custom-host: http://127.0.0.1:{vendor}/v1")
    )
