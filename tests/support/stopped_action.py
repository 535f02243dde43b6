"""An action that blocks beyond its time, in a process that is stopped meanwhile."""

from __future__ import annotations

import os
import threading
import time

from orchestration.engine.limits import RealTime
from orchestration.errors import StepTimedOut


def main() -> None:
    """Say when it begins, and whether it was ended by its limit or by itself."""
    for _ in range(3):  # any of them may be struck by an alarm that is not theirs
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    print("begun", flush=True)
    try:
        with RealTime().limit("s1", 1.0):
            time.sleep(600)
        print("ended by itself", flush=True)
    except StepTimedOut:
        print("ended by its limit", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
