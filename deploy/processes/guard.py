"""Children that end with their parent, however it ends: kill -9 leaves it no chance to stop them."""

import subprocess

GRACE_SECONDS = 10

_WATCH = 'read -r _; kill -TERM "$0" 2>/dev/null || exit 0; sleep "$1"; kill -KILL "$0" 2>/dev/null'


class Guard:
    """A shell that waits for this process' end, and then ends the child: politely, after GRACE_SECONDS by force.

    It reads from a pipe of which this process alone has the other end, and which closes with it. That works wherever
    there is a shell.
    """

    def __init__(self, pid: int) -> None:
        # A session of its own: what ends this process, such as Ctrl-C at the terminal, is not to end it.
        self._shell = subprocess.Popen(  # noqa: S603 - our own command
            ["sh", "-c", _WATCH, str(pid), str(GRACE_SECONDS)],  # noqa: S607 - wherever the system has it
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Let the child go on, or it has ended already."""
        self._shell.kill()
        self._shell.communicate()
