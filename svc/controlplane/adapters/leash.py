"""Run a command that dies with its parent: `python leash.py PARENT_PID COMMAND ARGUMENT…`.

Run as a file, between fork and the command: the kernel then kills the command when the parent is gone, however it went
(prctl(2), PR_SET_PDEATHSIG; it survives execve). Elsewhere than on Linux the command runs without a leash.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become the command. Exits at once when the parent has gone already."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit("the parent has gone")
    # Every client is an open file.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.execv(command[0], command)  # noqa: S606 - what the supervisor asked for


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
