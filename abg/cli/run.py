"""``abg run -- claude …``: an agent inside a budget of its own.

Finds or starts the proxy, sends the program's calls through it under one session (a path prefix,
which children inherit), and says at the end what it cost.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from abg.cli import client, where
from abg.cli.budget import amount
from abg.cli.child import run_child
from abg.cli.http import Address
from abg.cli.launch import Lease, launch, launcher
from abg.errors import AbgError, ConfigError
from abg.home.plan import Plan, Target, agent_of
from abg.home.summary import Summary, as_json, as_markdown, closing_line, summary
from abg.statusline import standing

__all__ = ["BLOCKED", "add_run", "session_of"]

BLOCKED = 73
"""The exit code by which ``--fail-on-block`` tells a spent budget from a failed agent."""

NOT_FOUND, CANNOT_RUN = 127, 126
SETTLE_WITHIN = 2.0
"""Seconds to wait for calls that the program left behind to be settled."""


def add_run(parser: argparse.ArgumentParser) -> None:
    parser.usage = "abg run [arguments] -- PROGRAM [its arguments]"
    client.add_where(parser)
    parser.add_argument(
        "--session", metavar="NAME", help="spend in this session (default: ABG_SESSION_ID, or new)"
    )
    parser.add_argument("--budget", type=amount, metavar="USD", help="the session's budget")
    parser.add_argument(
        "--daily", type=amount, metavar="USD", help="the daily budget, if this starts the proxy"
    )
    parser.add_argument(
        "--project", metavar="NAME", help="recorded with each call (default: the git repository)"
    )
    parser.add_argument(
        "--summary", metavar="FILE", help="write what it cost: JSON, and Markdown beside it"
    )
    parser.add_argument(
        "--fail-on-block", action="store_true", help=f"exit with {BLOCKED} if its budget stopped it"
    )
    parser.add_argument("--quiet", action="store_true", help="no closing line")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- PROGRAM …")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the program; its own exit code (127, 126: it cannot be found, or run)."""
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise ConfigError("name a program: abg run -- claude")
    program = shutil.which(command[0])
    if program is None:
        print(f"abg: there is no program {command[0]!r} on the PATH", file=sys.stderr)
        return NOT_FOUND
    argv = [program, *command[1:]]
    if os.environ.get("ABG_URL") and os.environ.get("ABG_SESSION_ID"):
        return _enter(argv, arguments)
    return _guarded(argv, arguments)


def _enter(argv: Sequence[str], arguments: argparse.Namespace) -> int:
    """Inside another ``abg run``: same proxy, same session, and nothing to sum up."""
    name = os.environ["ABG_SESSION_ID"]
    if arguments.session not in (None, name):
        print(f"abg: already inside session {name}: it spends there", file=sys.stderr)
    origin = where.parse_url(os.environ["ABG_URL"], "ABG_URL").url
    made = _plan(argv, Target(origin, name, _prefix(name)))
    _refuse(made)
    try:
        os.execve(made.argv[0], made.argv, _changed(os.environ, made.environ))
    except OSError as problem:
        return _cannot_run(argv[0], problem)


def _guarded(argv: Sequence[str], arguments: argparse.Namespace) -> int:
    here = where.working_folder()
    name = session_of(arguments.session, os.environ, argv[0], here)
    project = arguments.project or _project(here)
    # Before anything is started: a client that would go past abg is not run at all.
    _refuse(_plan(argv, Target("http://127.0.0.1:0", name, _prefix(name), project)))
    with ExitStack() as ending:
        lease = _leased(arguments, name, project)
        ending.callback(lease.end)
        address = lease.address
        token = _token(name, arguments.budget, ending) if _custody(address) else ""
        if arguments.budget is not None:
            body = {"session": name, "to_usd": str(arguments.budget)}
            client.post(address, "/abg/budgets/raise", body)
        made = _plan(argv, Target(address.url, name, _prefix(name), project, token))
        for note in made.notes:
            print(f"abg: note: {note}", file=sys.stderr)
        environ = _changed(os.environ, made.environ)
        _shims(environ, ending)
        before = _look(address, name)
        try:
            code = run_child(made.argv, environ)
        except OSError as problem:
            return _cannot_run(argv[0], problem)
        done = summary(before, _settled(address, name, before), code)
    _say(done, arguments)
    return BLOCKED if arguments.fail_on_block and done.blocked else code


def session_of(given: str | None, environ: Mapping[str, str], program: str, cwd: Path) -> str:
    """The name of the session: given, from the environment, or a new one.

    Raises:
        ConfigError: it cannot stand in a path.
    """
    name = given or environ.get("ABG_SESSION_ID") or ""
    if not name:
        words = (Path(program).stem, cwd.name or "root", secrets.token_hex(3))
        kept = ("".join(c if c.isalnum() or c in "._-" else "-" for c in w) for w in words)
        return "-".join(w[:40] for w in kept)
    if len(name) > 128 or not name.isprintable() or "/" in name or name in (".", ".."):
        raise ConfigError(
            f"{name!r} cannot be a session's name: up to 128 visible characters without a slash"
        )
    return name


def _prefix(name: str) -> str:
    return "/s/" + quote(name, safe="")


def _leased(arguments: argparse.Namespace, name: str, project: str) -> Lease:
    """A proxy that stays while the lease lasts.

    Raises:
        AbgError: there is none; see ``_proxy``.
    """
    for attempt in range(3):
        address, ours = _proxy(arguments, name)
        environ = _proxy_environ(arguments)
        about = {"session": name, "project": project}
        lease = Lease(address, arguments.config, environ, ours=ours, about=about)
        try:
            lease.start()
        except client.NotRunning:
            # It was just ending, with the last run that used it.
            if attempt == 2:
                raise
        else:
            break
    return lease


def _proxy(arguments: argparse.Namespace, name: str) -> tuple[Address, bool]:
    """The running proxy, or a new one; and whether it is one that we keep alive.

    Raises:
        AbgError: there is none and none can be started; or its daily budget is another.
    """
    try:
        address, status = client.find(arguments.url, arguments.config, session=name)
    except client.NotRunning:
        if arguments.url is not None:
            raise
        address, _ = launch(arguments.config, _proxy_environ(arguments))
        return address, True
    if arguments.daily is not None:
        _check_daily(arguments.daily, status)
    return address, status.get("ephemeral") is True


def _check_daily(wanted: Decimal, status: Mapping[str, Any]) -> None:
    limit = standing(status, "").daily_limit
    if limit != wanted:
        shown = "none" if limit is None else f"${limit:.2f}"
        raise AbgError(
            f"the proxy that runs has a daily budget of {shown}, for everybody who uses it. "
            f"Leave out --daily, or change it: abg budget raise --budget daily --to {wanted}"
        )


def _proxy_environ(arguments: argparse.Namespace) -> dict[str, str]:
    environ = {k: v for k, v in os.environ.items() if k not in ("ABG_URL", "ABG_SESSION_ID")}
    if arguments.daily is not None:
        environ["ABG_DAILY_BUDGET_USD"] = str(arguments.daily)
    return environ


def _plan(argv: Sequence[str], target: Target) -> Plan:
    from abg.cli.settings import claude_files, codex_files, read_text

    agent = agent_of(argv)
    if agent == "claude":
        from abg.home import claude

        return claude.plan(argv, target, os.environ, claude_files(), read_text)
    if agent == "codex":
        from abg.home import codex

        return codex.plan(argv, target, os.environ, codex_files(argv))
    from abg.home.plan import environment

    return Plan(tuple(argv), environment(target, os.environ))


def _refuse(made: Plan) -> None:
    if made.problems:
        said = "\n".join(map(str, made.problems))
        raise ConfigError(f"not started, because it would spend past abg:\n{said}")


def _changed(environ: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name not in changes}
    return kept | {name: value for name, value in changes.items() if value is not None}


def _custody(address: Address) -> bool:
    """Whether this proxy holds the vendors' keys, and wants tokens of its own."""
    return client.get(address, "/abg/status?session=").get("custody") is True


def _token(name: str, budget: Decimal | None, ending: ExitStack) -> str:
    """A token for this run alone."""
    from abg.cli.token import keyring

    ring = keyring()
    token, grant = ring.new(name, budget)
    ending.callback(ring.revoke, grant.id)
    return token


def _shims(environ: dict[str, str], ending: ExitStack) -> None:
    """``claude`` and ``codex`` before the real ones on the child's PATH.

    An agent that starts another one starts it through ``abg run`` then: Codex heeds no variable
    that it could inherit, and Claude Code's own settings would beat the inherited ones.
    """
    real = {name: path for name in ("claude", "codex") if (path := shutil.which(name))}
    if not real or sys.platform == "win32":
        return
    import shlex
    import tempfile

    folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="abg-run-"))
    again = shlex.join(launcher())
    for name, path in real.items():
        script = Path(folder, name)
        script.write_text(f'#!/bin/sh\nexec {again} run -- {shlex.quote(path)} "$@"\n', "utf-8")
        script.chmod(0o700)
    environ["PATH"] = f"{folder}{os.pathsep}{environ.get('PATH', os.defpath)}"


def _look(address: Address, name: str) -> tuple[Any, Mapping[str, Any]]:
    status = client.get(address, f"/abg/status?session={quote(name, safe='')}")
    info = (status.get("session_info") or {}).get(name) or {}
    return standing(status, name), info


def _settled(address: Address, name: str, before: Any) -> tuple[Any, Mapping[str, Any]]:
    """The session once nothing of it is in flight; as before, if the proxy has gone."""
    ends = time.monotonic() + SETTLE_WITHIN
    try:
        while True:
            seen = _look(address, name)
            if not seen[0].held or time.monotonic() >= ends:
                return seen
            time.sleep(0.05)
    except AbgError as problem:
        print(f"abg: the proxy cannot be asked what it cost: {problem}", file=sys.stderr)
        return before  # type: ignore[no-any-return]


def _say(done: Summary, arguments: argparse.Namespace) -> None:
    if not arguments.quiet:
        print(closing_line(done), file=sys.stderr)
    if arguments.summary is None:
        return
    path = Path(arguments.summary)
    as_data = path.with_suffix(".json") if path.suffix == ".md" else path
    try:
        as_data.write_text(client.dumps(as_json(done)) + "\n", "utf-8")
        path.with_suffix(".md").write_text(as_markdown(done), "utf-8")
    except OSError as problem:
        print(f"abg: the summary cannot be written: {problem}", file=sys.stderr)


def _project(cwd: Path) -> str:
    """The name of the git repository around a folder; empty outside of one."""
    from abg.cli.settings import repository

    root = repository(cwd)
    return "" if root is None else root.name


def _cannot_run(program: str, problem: OSError) -> int:
    print(f"abg: {program} cannot be run: {problem.strerror or problem}", file=sys.stderr)
    return CANNOT_RUN
