"""The command line: ``python -m mamlprobe``."""

import sys

from mamlprobe.cli import main

if __name__ == "__main__":
    sys.exit(main())
