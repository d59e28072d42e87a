"""``python -m abg``: the same as the ``abg`` command."""

import sys

from abg.cli import main

if __name__ == "__main__":
    sys.exit(main())
