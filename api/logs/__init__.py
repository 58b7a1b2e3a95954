"""Where the library's log records go: loguru, or the standard library's logging.

Knows the log of `actors`, which it tells where to write, and pykka's logger. Its one piece of state,
what pykka's logger has been given, is owned by `bridges`.
"""

from .bridges import to_loguru, to_standard_logging
from .json_lines import JsonFormatter

__all__ = ["JsonFormatter", "to_loguru", "to_standard_logging"]
