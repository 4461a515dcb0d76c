"""The command line: ``python -m mamlprobe``."""

import os
import sys
from contextlib import suppress

if __name__ == "__main__":
    with suppress(FileNotFoundError):  # a current folder that was removed
        if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
            del sys.path[0]  # Python put it there; files in it are imported only where the user names one

    from mamlprobe.cli import main

    sys.exit(main())
