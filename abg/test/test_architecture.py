"""The rules that hold the house, read from the source: who may import what, and how large.

Imports run in one direction: faces → shells → state → values. The tables below are the plan of
the house (``docs/architecture.md`` draws it); a new room is one new word in one of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import abg

ROOT = Path(abg.__file__).parent

# Rooms by floor, lowest first; a room is a module or a package under ``abg``. A module may import
# from its own floor and those below. The first pattern that fits a module counts.
FLOORS: dict[str, tuple[str, ...]] = {
    "values": (
        "access",
        "agents",
        "attribution",
        "bodies",
        "bound",
        "budget",
        "call",
        "canonical",
        "commands",
        "config",
        "config.*",
        "console",
        "counting",
        "custody",
        "decision",
        "decompress",
        "dialects",
        "dialects.*",
        "endpoints",
        "errors",
        "estimate",
        "exchange",
        "finding",
        "headers",
        "home",
        "home.*",
        "ledger",
        "ledger.*",
        "making",
        "money",
        "names",
        "presume",
        "priceimport",
        "pricing",
        "pricing.*",
        "projects",
        "refusals",
        "report",
        "report.*",
        "routing",
        "settings",
        "statusline",
        "usage",
        "windows",
    ),
    "state": (
        "accounts",
        "background",
        "book",
        "flight",
        "folding",
        "guard",
        "histories",
        "judging",
        "loops",
        "notices",
        "outcome",
        "overrides",
        "overrun",
        "rolling",
        "rules",
        "shapes",
        "standing",
        "streams",
        "sums",
        "tally",
        "waiting",
    ),
    "shells": (
        "alerts",
        "alerts.*",
        "engine",
        "gate",
        "journal",
        "journal.*",
        "keyring",
        "places",
        "proxy",
        "proxy.*",
        "service",
        "signals",
        "stdout",
        "stores",
        "stores.*",
        "tap",
        "vault",
        "web",
        "web.*",
        "wholefile",
        "wire",
        "wire.*",
    ),
    "faces": (
        "cli",
        "cli.*",
        "page",
        "page.*",
        "__main__",
    ),
}
# Beside the house: what stands for the vendor and for the agents, and the tests.
APART = ("simulate", "simulate.*", "testing", "testing.*", "test", "test.*")

PURE = ("values", "state")
# Rooms that touch money keep to exact decimals.
MONEY = (
    "accounts",
    "book",
    "budget",
    "decision",
    "estimate",
    "finding",
    "folding",
    "guard",
    "judging",
    "ledger",
    "ledger.*",
    "money",
    "overrides",
    "presume",
    "pricing",
    "pricing.*",
    "rolling",
    "standing",
    "sums",
    "waiting",
)
# Who may hold the one reactor of the process: the outermost shell, and the faces.
REACTOR = ("service", "cli", "cli.*", "tap", "testing", "testing.*")
# Who may fall back on it, inside a function, where an embedder handed none in.
REACTOR_BY_DEFAULT = ("web.*", "wire.*")

LINES = 400
LARGER: dict[str, str] = {
    # module: why it is one room all the same
}


def modules() -> dict[str, ast.Module]:
    """Every module of the product, by its name under ``abg``; the tests are left out."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        name = ".".join(parts)
        if name and not fits(name, ("test", "test.*")):
            found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def floor_of(name: str) -> str | None:
    return next((floor for floor, rooms in FLOORS.items() if fits(name, rooms)), None)


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Full dotted names that a module imports anywhere, with their lines."""
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        and isinstance(block.test, ast.Name)
        and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are written in full"
            yield node.module or "", node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


MODULES = modules()
INSIDE = {name: tree for name, tree in MODULES.items() if not fits(name, APART)}
by_module = pytest.mark.parametrize("name", INSIDE)


@by_module
def test_every_room_has_its_floor(name: str) -> None:
    assert floor_of(name) is not None, f"abg.{name} stands in no table of this test"


@by_module
def test_imports_go_down_only(name: str) -> None:
    order = list(FLOORS)
    own = order.index(floor_of(name) or "faces")
    for imported, line in imports(INSIDE[name]):
        room = imported.removeprefix("abg.")
        if imported == "abg" or not imported.startswith("abg.") or room not in MODULES:
            continue
        other = floor_of(room)
        assert other is not None or fits(room, APART)
        # The demo shows abg against the fake vendor: a face may.
        above = other is None and own < order.index("faces")
        above = above or (other is not None and order.index(other) > own)
        assert not above, f"abg/{name}:{line} imports abg.{room}, which stands above it"


# What only shells and faces may know: networks, processes, chance.
OUTSIDE = (
    "asyncio",
    "httptools",
    "os",
    "random",
    "secrets",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "treq",
    "twisted",
    "uuid",
)


@pytest.mark.parametrize("name", [n for n in INSIDE if floor_of(n) in PURE])
def test_the_core_knows_neither_twisted_nor_sockets(name: str) -> None:
    for imported, line in imports(INSIDE[name]):
        assert imported.partition(".")[0] not in OUTSIDE, f"abg/{name}:{line} imports {imported}"


CLOCKS = ("now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter")


@pytest.mark.parametrize("name", [n for n in INSIDE if floor_of(n) in PURE])
def test_the_core_reads_no_clock(name: str) -> None:
    for imported, line in imports(INSIDE[name]):
        assert imported not in {f"time.{clock}" for clock in CLOCKS}, f"abg/{name}:{line}"
    for node in ast.walk(INSIDE[name]):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        told = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        read = told in ("datetime", "date", "time") and node.func.attr in CLOCKS
        assert not read, f"abg/{name}:{node.lineno} reads the clock: time is handed in"


@pytest.mark.parametrize("name", [n for n in INSIDE if fits(n, MONEY)])
def test_money_is_never_a_float(name: str) -> None:
    times = {
        inner
        for node in ast.walk(INSIDE[name])
        if isinstance(node, ast.Call) and _called(node) in ("fromtimestamp", "timedelta")
        for inner in ast.walk(node)
    }
    for node in ast.walk(INSIDE[name]):
        # A moment or a length of time may be one: it is no money.
        if isinstance(node, ast.Call) and _called(node) == "float":
            assert node in times, f"abg/{name}:{node.lineno} makes a float"


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@by_module
def test_the_reactor_is_handed_in(name: str) -> None:
    if fits(name, REACTOR):
        return
    tree = INSIDE[name]
    if fits(name, REACTOR_BY_DEFAULT):
        tree = ast.Module([node for node in tree.body if isinstance(node, ast.ImportFrom)], [])
    for imported, line in imports(tree):
        assert imported != "twisted.internet.reactor", f"abg/{name}:{line} imports the reactor"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_and_what_is_public(name: str) -> None:
    tree = MODULES[name]
    if not tree.body:
        return
    assert ast.get_docstring(tree), f"abg.{name} has no docstring"
    if name == "__main__":
        return
    public = next((value for value in _lists(tree)), None)
    assert public is not None, f"abg.{name} has no __all__"
    defined = _defined(tree)
    assert set(public) <= defined, f"abg.{name}: __all__ names {set(public) - defined}"
    assert public == sorted(public, key=_natural), f"abg.{name}: __all__ is not sorted"


def _lists(tree: ast.Module) -> Iterator[list[str]]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            yield ast.literal_eval(node.value)


def _natural(word: str) -> tuple[int, str]:
    """Ruff's order: CONSTANTS, Classes, functions."""
    if word.isupper():
        return 0, word
    return (1 if word.lstrip("_")[:1].isupper() else 2), word


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("name", MODULES)
def test_a_file_is_one_room_of_one_size(name: str) -> None:
    path = ROOT.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    lines = len(file.read_text("utf-8").splitlines())
    if name in LARGER:
        assert lines > LINES, f"abg.{name} needs no exception any more"
    else:
        assert lines <= LINES, f"abg.{name} has {lines} lines: it has two purposes"


def test_no_room_is_a_drawer() -> None:
    for name in MODULES:
        last = name.rpartition(".")[2]
        assert not fits(last, ("*util*", "*helper*", "*manager*", "*misc*", "common")), name


def pure_files() -> list[str]:
    """The files of the pure core, for the check that every branch of theirs is tested."""
    found = []
    for name in MODULES:
        if floor_of(name) in PURE:
            path = ROOT.joinpath(*name.split("."))
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            found.append(str(file.relative_to(ROOT.parent)))
    return found


if __name__ == "__main__":
    print(",".join(pure_files()))
