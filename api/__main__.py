"""``python -m agenticaiframework``: the command line."""

import sys

from agenticaiframework.cli import main

sys.exit(main())
