"""The second door as a program: the guard mounted in somebody's bare ``Site``.

``python -m abg.test.clients.embedded [PATH] proxy --config FILE``: at the root, or below PATH.
"""

# twisted.web has no types of its own.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.web.resource import Resource
from twisted.web.server import Site

from abg.config import load
from abg.places import Places
from abg.web.resource import GuardResource

__all__ = ["main"]


def main(argv: list[str]) -> None:
    reactor: Any = installed
    place = argv[0] if argv[0] != "proxy" else ""
    file = Path(argv[-1])
    places = Places.of(os.environ, sys.platform)
    loaded = load({"config": str(file)}, os.environ, Path.cwd(), places)
    guard: Any = GuardResource(loaded.config)
    root: Any = guard
    if place:
        root = Resource()
        root.putChild(place.encode(), guard)
    port = reactor.listenTCP(loaded.config.port, Site(root), interface="127.0.0.1")
    print(f"listening on http://127.0.0.1:{port.getHost().port}", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
