"""A process of matching's own that ends with the service that started it, however that ends."""

import ctypes
import os
import sys
import threading


def killed_with(parent: int) -> None:
    """Be killed when the service ends, where the system can do that: also in the midst of a long call of the solver."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != parent:
        sys.exit(1)


def die_with(parent: int) -> None:
    """End when the service does: its end of our standard input is then closed."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    killed_with(parent)
    threading.Thread(target=watch, name="parent", daemon=True).start()
