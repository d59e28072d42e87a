"""From flags, environment and file to one checked ``Config``, or all that is wrong with them.

Flags beat the environment, the environment beats the file (contract 3). A file given by
``--config`` and the one in the user's configuration folder are trusted whole; one that was merely
found in the working folder came with whatever repository was cloned there, and may set only what
cannot send a key or a ledger elsewhere (contract 1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

from abg.config.checks import is_loopback_address
from abg.config.keys import ENVIRONMENT, KEYS, PATHS, Key
from abg.config.kinds import Wrong, nearest, without_keys
from abg.config.tables import budgets_of, prices_of
from abg.config.tree import LARGEST_FILE, Items, Node, Problem, Scalar, Table, parse_tree
from abg.config.values import Config, Loaded
from abg.console import printable
from abg.errors import ConfigError

__all__ = ["FILE_NAME", "load", "parse_config"]

FILE_NAME = "agentbillguard.yaml"
REMEDY = "give --config to trust this file"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Folders(Protocol):
    """Where the user's own files are (``abg.places.Places``)."""

    @property
    def config_file(self) -> Path: ...


def read_file(path: Path) -> bytes:
    """A file's bytes, not more of them than a configuration may have."""
    with path.open("rb") as file:
        return file.read(LARGEST_FILE + 1)


def load(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    cwd: Path,
    places: Folders,
    read: Callable[[Path], bytes] = read_file,
) -> Loaded:
    """The configuration in force.

    Args:
        flags: by the names of keys, and ``config`` for the file; None: not given.
        environ: ``ABG_<KEY>`` are heeded.
        cwd: the working folder.
        read: gives a file's bytes.

    Raises:
        ConfigError: with all that is wrong, a line each, in the order of the file.
    """
    source, notes = _find(flags.get("config"), cwd, places)
    reading = _Reading(source, environ)
    if source is not None:
        try:
            reading.file(read(source.path))
        except OSError as error:
            raise ConfigError(f"{source.name} cannot be read: {error.strerror}") from None
    notes += reading.variables(cwd)
    for name, value in flags.items():
        if name != "config" and value is not None:
            reading.scalar(KEYS[name], value, f"--{name.replace('_', '-')}", cwd)
    config = reading.config()
    return Loaded(config, (*notes, *_worries(config)), source.path if source else None)


def parse_config(
    raw: bytes | str, name: str, *, trusted: bool = True, environ: Mapping[str, str] | None = None
) -> Config:
    """The configuration that one file holds.

    Args:
        name: its path; relative paths in it lie beside it.
        environ: for header values that name a variable.

    Raises:
        ConfigError: with all that is wrong.
    """
    reading = _Reading(_Source(Path(name), name, trusted), environ or {})
    reading.file(raw.encode() if isinstance(raw, str) else raw)
    return reading.config()


@frozen
class _Source:
    path: Path
    name: str
    """As messages call it."""
    trusted: bool

    def at(self, problem: Problem) -> str:
        place = f"{self.name}:{problem.line}" if problem.line else self.name
        return _clean(f"{place}: {problem.text}")


def _find(given: str | None, cwd: Path, places: Folders) -> tuple[_Source | None, list[str]]:
    if given is not None:
        return _Source(cwd / given, given, True), []
    here, own = cwd / FILE_NAME, places.config_file
    if not _is_file(here):
        return (_Source(own, str(own), True) if _is_file(own) else None), []
    if not _is_file(own):
        return _Source(here, str(here), False), []
    if here.resolve() == own.resolve():
        return _Source(own, str(own), True), []
    return _Source(here, str(here), False), [f"{own} is not read, because {here} is there"]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


class _Reading:
    """Collects values, the strongest last, and problems."""

    def __init__(self, source: _Source | None, environ: Mapping[str, str]) -> None:
        self._source = source
        self._environ = environ
        self._values: dict[str, Any] = {}
        self._problems: list[Problem] = []
        self._told: list[str] = []

    # -- the file ------------------------------------------------------------------------------

    def file(self, raw: bytes) -> None:
        table, problems = parse_tree(raw)
        self._problems += problems
        for name, line, node in table.rows:
            key = KEYS.get(name)
            if key is None:
                self._problems.append(Problem(line, unknown(name)))
            elif self._permitted(key, line):
                self._take(key, line, node)

    def _permitted(self, key: Key, line: int) -> bool:
        source = self._source
        if key.found or source is None or source.trusted:
            return True
        why = "a file that was only found in the working folder may not set this"
        self._problems.append(Problem(line, f"{key.name}: {why}: {REMEDY}"))
        return False

    def _take(self, key: Key, line: int, node: Node) -> None:
        try:
            value = key.kind.read(node)
            if key.name in PATHS and value is not None:
                value = _existing(key, self._beside(value))
            elif key.name == "credentials":
                value = {vendor: self._beside_key(vendor, where) for vendor, where in value.items()}
            elif key.name == "upstream_headers":
                value = self._with_variables(value)
        except Wrong as wrong:
            where = ": ".join((key.name, *wrong.under))
            self._problems.append(Problem(wrong.line or line, f"{where}: {wrong}"))
        else:
            self._values[key.name] = value

    def _folder(self) -> Path:
        return self._source.path.parent if self._source is not None else Path()

    def _beside(self, text: str) -> Path:
        folder = self._folder()
        path = _joined(folder, text)
        trusted = self._source is None or self._source.trusted
        # Links are followed: the repository may bring one that leads to the user's files.
        if not trusted and not _lies_below(folder, path):
            raise Wrong(f"it lies outside the folder of this file: {REMEDY}")
        return path

    def _beside_key(self, vendor: str, where: str) -> str:
        kind, _, rest = where.partition(":")
        try:
            return where if kind == "env" else f"file:{_joined(self._folder(), rest)}"
        except Wrong as wrong:
            raise Wrong(str(wrong), under=(vendor,)) from None

    def _with_variables(
        self, tables: Mapping[str, tuple[tuple[str, str], ...]]
    ) -> Mapping[str, tuple[tuple[str, str], ...]]:
        found = {}
        for upstream, fields in tables.items():
            kept = []
            for name, value in fields:
                if value.startswith("env:"):
                    variable = value[4:]
                    value = self._environ.get(variable, "")
                    if not value or not value.isascii() or not value.isprintable():
                        text = f"the variable {variable} holds no value for a header"
                        raise Wrong(text, 0, (upstream, name))
                kept.append((name, value))
            found[upstream] = tuple(kept)
        return found

    # -- variables and flags -------------------------------------------------------------------

    def variables(self, cwd: Path) -> list[str]:
        """Heed the environment; what is strange in it comes back as notes."""
        notes = []
        names = {key.variable: key for key in KEYS.values()}
        for variable, text in sorted(self._environ.items()):
            if not variable.startswith("ABG_") or variable.startswith("ABG_TEST_"):
                continue
            key = names.get(variable)
            if key is None:
                if variable not in ENVIRONMENT:
                    near = nearest(variable[4:], list(KEYS))
                    near = re.sub(r"mean (\w+)\?", lambda m: f"mean ABG_{m[1].upper()}?", near)
                    notes.append(f"unknown variable {variable}" + f" ({near})" * bool(near))
            elif text:
                # An empty variable is none, as everywhere.
                self.scalar(key, text, variable, cwd)
        return notes

    def scalar(self, key: Key, text: str, where: str, cwd: Path) -> None:
        """A value from a variable or a flag; a relative path lies in the working folder."""
        if not key.kind.scalar:
            self._told.append(f"{where}: {key.name} is a table; it stands in the file")
            return
        try:
            value = key.kind.read(Scalar("null" if text == "none" else text))
            if key.name in PATHS and value is not None:
                value = _existing(key, _joined(cwd, value))
        except Wrong as wrong:
            self._told.append(_clean(f"{where}: {wrong}"))
        else:
            self._values[key.name] = value

    # -- the whole -----------------------------------------------------------------------------

    def config(self) -> Config:
        """Raises:
        ConfigError: something is wrong.
        """
        values, problems = dict(self._values), self._problems
        warn_at = values.get("warn_at", Config().warn_at)
        budgets, prices = values.get("budgets"), values.get("prices")
        if isinstance(budgets, Items):
            values["budgets"] = budgets_of(budgets, "budgets", warn_at, problems)
        if isinstance(prices, Table):
            values["prices"] = prices_of(prices, "prices", problems)
        source = self._source
        told = [source.at(p) for p in sorted(problems, key=lambda p: p.line)] if source else []
        told += self._told
        if told:
            raise ConfigError(without_keys("\n".join(told)))
        config = Config(**values, source=source.path if source else None)
        _check_ledger(config)
        _check_loop(config)
        return config


LONGEST_LINE = 500


def _clean(line: str) -> str:
    """A message as one short line that steers no terminal, whatever file it quotes."""
    return printable(line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 3] + "...")


def _joined(folder: Path, text: str) -> Path:
    """A path as it is written, from a folder on; ``~`` is a user's home."""
    if _CONTROL.search(text):
        raise Wrong("a path is one line of visible characters")
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:
        raise Wrong(f"there is no user {text.partition('/')[0][1:61]}") from None


def _lies_below(folder: Path, path: Path) -> bool:
    try:
        real = path.resolve()
        # Where it leads in a circle, Python 3.13 leaves a link in it, and older ones raise.
        circles = any(part.is_symlink() for part in (real, *real.parents))
        return not circles and folder.resolve() in real.parents
    except (OSError, RuntimeError):
        # Links in a circle, or a name that no file can have.
        return False


def _existing(key: Key, path: Path) -> Path:
    """A file that is only read has to be there; one that is written is no folder."""
    try:
        there, folder = path.is_file(), not path.name or path.is_dir()
    except OSError:
        there = folder = False
    if key.name == "ca_file" and not there:
        raise Wrong(f"there is no file {path}")
    if key.name == "ledger_file" and folder:
        raise Wrong(f"{path} is a folder")
    return path


def unknown(name: str) -> str:
    """What is said of a key that is none: ``sesion_budget_usd: did you mean …?``."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:60])
    near = nearest(name.replace("-", "_"), list(KEYS))
    return f"{shown}: {near} (unknown key)" if near else f"{shown}: unknown key"


def _check_ledger(config: Config) -> None:
    """Lines of calls are appended to no file that is something else."""
    if config.ledger_file is None:
        return
    others = {"the configuration itself": config.source, "the ca_file": config.ca_file}
    for vendor, where in config.credentials.items():
        kind, _, path = where.partition(":")
        others[f"the key for {vendor}"] = Path(path) if kind == "file" else None
    for what, other in others.items():
        if other is not None and _same(config.ledger_file, other):
            raise ConfigError(f"ledger_file: {config.ledger_file} is {what}; name another file")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return one == other


def _check_loop(config: Config) -> None:
    from urllib.parse import urlsplit

    for upstream in ("anthropic", "openai", "chatgpt"):
        parts = urlsplit(getattr(config, f"upstream_{upstream}"))
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
        # Who listens everywhere listens on loopback too.
        local = is_loopback_address(config.host) or config.host in ("0.0.0.0", "::")
        same = host == config.host or (local and is_loopback_address(host))
        if port == config.port and same:
            raise ConfigError(f"upstream_{upstream}: {parts.geturl()} is abg itself")


def _worries(config: Config) -> list[str]:
    """What is allowed, and still should be known."""
    from urllib.parse import urlsplit

    found = []
    if not is_loopback_address(config.host) and not config.credentials:
        found.append(f"host {config.host}: whoever can reach it can spend by abg")
    for upstream in ("anthropic", "openai", "chatgpt"):
        url = getattr(config, f"upstream_{upstream}")
        parts = urlsplit(url)
        if parts.scheme == "http" and not is_loopback_address(parts.hostname or ""):
            found.append(f"upstream_{upstream}: keys go to {url} unencrypted")
    return found
