"""``python -m galhelpers`` is the same as the command ``galhelpers``."""

import sys

from galhelpers.course.cli import main

if __name__ == "__main__":
    sys.exit(main())
