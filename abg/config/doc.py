"""``agentbillguard.yaml.example`` and ``docs/configuration.md``, made from the table of keys.

``python -m abg.config.doc`` in a checkout writes both; a test fails when they are not current.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from abg.config.keys import ENVIRONMENT, KEYS, Key
from abg.config.values import Config

__all__ = ["example", "main", "reference"]

EXAMPLE, REFERENCE = "agentbillguard.yaml.example", "docs/configuration.md"
_WIDTH = 96


def example() -> str:
    """A file with every key: what a found file may set is active, the rest commented out."""
    lines = [
        "# agent-bill-guard: every key, with its default. Copy it to agentbillguard.yaml, in the",
        "# working folder or in your configuration folder; docs/configuration.md has it all.",
        "# Keys marked (trusted) are only heeded in your own configuration folder or by --config.",
    ]
    for group, keys in _groups():
        lines += ["", "", f"# ---- {group} ".ljust(_WIDTH, "-")]
        for key in keys:
            trusted = "" if key.found else " (trusted)"
            text = key.doc.replace("`", "") + trusted
            lines += ["", *(f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2))]
            lines += _setting(key)
    return "\n".join(lines) + "\n"


def _setting(key: Key) -> list[str]:
    if not key.example:
        line = f"{key.name}: {yaml_of(_default(key))}"
        return [line if key.found else f"# {line}"]
    if key.example.startswith(" "):
        return [f"# {line}" for line in (f"{key.name}:", *key.example.splitlines())]
    return [f"# {key.name}: {key.example}"]


def reference() -> str:
    """The page of all keys."""
    parts = [_HEAD]
    for group, keys in _groups():
        parts.append(f"## {group}\n")
        for key in keys:
            parts.append(_entry(key))
    parts.append(_TAIL)
    parts.append(
        "\n".join(["| variable | what for |", "| --- | --- |"])
        + "".join(f"\n| `{name}` | {text} |" for name, text in ENVIRONMENT.items())
        + "\n"
    )
    return "\n".join(parts)


def _entry(key: Key) -> str:
    facts = [f"{key.kind.what}", f"default `{yaml_of(_default(key))}`"]
    if key.kind.scalar:
        facts.append(f"variable `{key.variable}`")
    facts.append("any file" if key.found else "trusted files only")
    text = f"### `{key.name}`\n\n{'; '.join(facts)}\n\n"
    text += "\n".join(textwrap.wrap(key.doc, 100, break_on_hyphens=False)) + "\n"
    if key.example:
        # A table begins on a line of its own.
        space = "\n" if key.example.startswith(" ") else " "
        text += f"\n```yaml\n{key.name}:{space}{key.example}\n```\n"
    return text


def yaml_of(value: object) -> str:
    """A default as YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, tuple):
        words = [yaml_of(one) for one in value]
        return words[0] if len(words) == 1 else f"[{', '.join(words)}]"
    return "{}" if isinstance(value, Mapping) else str(value)


def _default(key: Key) -> Any:
    # The rows of session and day come from keys of their own.
    return () if key.name == "budgets" else getattr(Config(), key.name)


def _groups() -> Iterator[tuple[str, list[Key]]]:
    groups: dict[str, list[Key]] = {}
    for key in KEYS.values():
        groups.setdefault(key.group, []).append(key)
    yield from groups.items()


_HEAD = """\
<!-- Made from abg/config/keys.py by `python -m abg.config.doc`; change it there. -->
# Configuration

abg needs no configuration: without a file it starts with the defaults below. A file is YAML and
called `agentbillguard.yaml`; `agentbillguard.yaml.example` has every key. It is looked for

1. where `--config FILE` says (then it must be there),
2. in the working folder,
3. in your configuration folder: `$XDG_CONFIG_HOME/abg`, else `~/.config/abg`
   (Windows: `%APPDATA%\\abg`).

The first one found is the only one read; the console's first lines say which it is. Flags beat
variables, and variables beat the file: `ABG_` and the key in capitals overrides any key that is
not a table (`ABG_SESSION_BUDGET_USD=2.50`, `ABG_WARN_AT=0.5,0.9`). An empty variable is none;
`null` or `none` means null.

**Trust.** A file that merely lies in the working folder came with whatever repository was cloned
there. It may set budgets, `warn_at`, `block_on_limit`, `port`, `timezone`, `prices` and a
`ledger_file` below its own folder. Any other key in it stops the start, since it could send your
key elsewhere; `--config FILE` trusts the file whole, and the one in your configuration folder is
trusted always.

**Errors.** All that is wrong is told at once, a line each, with exit code 2:

```
[abg] agentbillguard.yaml:3: sesion_budget_usd: did you mean session_budget_usd? (unknown key)
```

Amounts are read from their digits and kept exactly. `0` means that nothing may be spent, `null`
that there is no limit. Anchors, aliases and tags of YAML are not read.
"""

_TAIL = """\
## Variables that are no keys
"""


def main(folder: Path | None = None) -> None:
    """Write both files into a checkout."""
    root = folder or Path(__file__).parents[2]
    (root / EXAMPLE).write_text(example(), "utf-8")
    (root / REFERENCE).write_text(reference(), "utf-8")


if __name__ == "__main__":
    main()
