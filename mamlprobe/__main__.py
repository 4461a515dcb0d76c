"""The command line: ``python -m mamlprobe``."""

import os
import sys

if __name__ == "__main__":
    if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
        del sys.path[0]  # where Python put the current folder: files in it are imported only where the user names one

    from mamlprobe.cli import main

    sys.exit(main())
