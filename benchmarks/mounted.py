"""abg as a guest: its resource under a path of somebody's plain ``Site``.

Usage: ``python benchmarks/mounted.py PORT CONFIG_FILE``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.web.server import Site

from abg.config import parse_config
from abg.web.resource import GuardResource

__all__ = ["main"]


def main() -> None:
    reactor: Any = global_reactor
    port, path = int(sys.argv[1]), Path(sys.argv[2])
    config = parse_config(path.read_text("utf-8"), str(path))
    site = Site(GuardResource(config))
    reactor.listenTCP(port, site, backlog=2048, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
