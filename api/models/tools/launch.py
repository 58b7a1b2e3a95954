"""Run as a file: says which process it is, and becomes the command that it is given.

On Linux that cannot outlive its parent: the system ends it with the thread that started it, also when
that is killed. A server that reads its standard input ends then anyway; this is for one that does not.
"""

import os
import sys

PID_MARK = "agenticaiframework mcp server, process "
"""What stands before the number of the process in the first line that this writes."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    sys.stderr.write(f"{PID_MARK}{os.getpid()}\n")
    sys.stderr.flush()
    if sys.platform == "linux":
        _end_with_parent()
    command = sys.argv[1:]
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        os._exit(127)


def _end_with_parent() -> None:
    import ctypes
    import signal

    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it has ended in between


if __name__ == "__main__":
    main()
