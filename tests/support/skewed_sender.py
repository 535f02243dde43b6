"""A process whose clock is wrong and that sends heartbeats until it is ended.

python -m tests.support.skewed_sender AHEAD_S AGENT_ID...
"""

from __future__ import annotations

import asyncio
import sys
import time

real_time = time.time
AHEAD_S = float(sys.argv[1])
time.time = lambda: real_time() + AHEAD_S  # before anything else looks at it

from orchestration.agent_registry import AgentRegistry  # noqa: E402


async def main() -> None:
    async with AgentRegistry() as registry:
        while True:
            beats = [
                registry.heartbeat(one, {"cpu_usage": 0.5}) for one in sys.argv[2:]
            ]
            await asyncio.gather(*beats)
            sys.stdout.write("sent\n")
            sys.stdout.flush()
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())
