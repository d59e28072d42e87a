"""The fake vendor as a program: ``python -m abg.testing.vendor --port 0 --script turns.json``.

It prints ``listening on http://127.0.0.1:PORT`` and serves both vendors' APIs there. Control:

- ``GET /_requests``: all requests that came, with headers, body and how the answer ended
- ``GET /_charges``: what it booked for each answer
- ``PUT /_script``: another script from now on; ``POST /_reset``: forget all that came
- ``GET /_open``: number of answers under way
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from pathlib import Path

from abg.testing.http import serve
from abg.testing.script import Script, ScriptError, read_script
from abg.testing.scripted import ScriptedVendor

__all__ = ["main"]


async def _forever(arguments: argparse.Namespace, script: Script) -> None:
    tls = None
    if arguments.cert is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.cert, arguments.key)
    server = await serve(ScriptedVendor(script), arguments.host, arguments.port, tls)
    host, port = server.sockets[0].getsockname()[:2]
    print(f"listening on {'http' if tls is None else 'https'}://{host}:{port}", flush=True)
    if arguments.until_stdin_closes:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    else:
        await asyncio.Event().wait()


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m abg.testing.vendor", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    parser.add_argument("--script", type=Path, help="a JSON file (see abg.testing.script)")
    parser.add_argument("--cert", type=Path, help="serve TLS with this certificate chain (PEM)")
    parser.add_argument("--key", type=Path, help="its private key (PEM), if in another file")
    parser.add_argument("--until-stdin-closes", action="store_true")
    arguments = parser.parse_args(argv)
    try:
        script = read_script(arguments.script) if arguments.script else Script()
    except (ScriptError, OSError) as error:
        print(f"fake vendor: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_forever(arguments, script))
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
