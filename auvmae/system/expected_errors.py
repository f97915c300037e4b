"""End a script in one message where a user can mend the cause."""

import errno
import sys
from collections.abc import Callable
from typing import Any

EXPECTED = (ValueError, OSError, FloatingPointError)
"""What wrong settings, files and data raise, with a message for the user."""


def report_expected(command: Callable[[], Any], name: str) -> int:
    """Run a command, and print an expected error as a message without a traceback.

    Other errors, closed pipes and full disks are raised.

    Args:
        command: Function to run.
        name: Beginning of the message.

    Returns:
        Exit code: 0, or 2 after an expected error.
    """
    try:
        command()
    except EXPECTED as error:
        if getattr(error, "errno", None) in (errno.EPIPE, errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stderr.write(f"{name}: {error}\n")
        return 2
    return 0
