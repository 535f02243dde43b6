"""Agents that answer, fail, hang and note what they were told.

A message's payload says how its handler behaves; each call is a line of JSON in the
file that ``EFFECTS_FILE`` names.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from orchestration.agents import ActionContext, Agent, Message, MessageContext
from orchestration.errors import NonRetryable
from orchestration.message_bus import MessageBus
from orchestration.saga import SagaOrchestrator, SagaStep, SagaTransaction

talker = Agent("agent-talker")
hasty = Agent("agent-hasty")
quiet = Agent("agent-quiet", pool="quiet")
deaf = Agent("agent-deaf")


def _note(what: str, message: Message, context: MessageContext) -> None:
    line = {
        "what": what,
        "id": message.message_id,
        "type": message.message_type,
        "agent": context.agent_id,
        "attempt": context.attempt,
        "awaited": context.is_awaited,
        "pid": os.getpid(),
        "payload": message.payload,
    }
    with Path(os.environ["EFFECTS_FILE"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


def _do(message: Message, context: MessageContext) -> Any:
    told = message.payload
    if told.get("die_unless") and not Path(told["die_unless"]).exists():
        os._exit(1)
    while told.get("gate") and not Path(told["gate"]).exists():
        time.sleep(0.02)
    time.sleep(told.get("sleep_s", 0))
    if told.get("early"):
        assert context.reply({"early": True})
        assert not context.reply({"twice": True})
    if told.get("fails", 0) >= context.attempt:
        raise ValueError(f"attempt {context.attempt} fails")
    if told.get("fails_for_good"):
        raise NonRetryable("never")
    if told.get("returns_nan"):
        return {"x": float("nan")}
    return told.get("returns", {"heard": told, "by": context.agent_id})


@hasty.on_message(timeout_ms=1_500, max_attempts=9)
@talker.on_message(timeout_ms=120_000)
def hear(message: Message, context: MessageContext) -> Any:
    _note("begin", message, context)
    answer = _do(message, context)
    _note("end", message, context)
    return answer


@talker.on_event("orders.*.created", max_attempts=2)
def on_created(message: Message, context: MessageContext) -> None:
    _note("created", message, context)
    _do(message, context)


@talker.on_event("orders.#")
@quiet.on_event("orders.#")
async def on_order(message: Message, context: MessageContext) -> None:
    _note("order", message, context)


@talker.on_event("sagas.start")
async def start_saga(message: Message, context: MessageContext) -> None:
    """Begin a saga, and tell of it."""
    step = SagaStep("double", "agent-talker", read_only=True)
    async with MessageBus() as bus:
        saga = SagaOrchestrator(bus)
        await saga.start(SagaTransaction("caused", [step]), {"n": 1})
        event = await bus.publish("sagas.started")
    _note(f"told {event.correlation_id} {event.causation_id}", message, context)


@talker.action("double")
def double(data: dict[str, Any], context: ActionContext) -> dict[str, Any]:
    return {"doubled": 2 * data["n"], "key": context.idempotency_key}


@quiet.on_message
async def listen(message: Message) -> Any:
    await asyncio.sleep(0)
    return "heard"


@talker.action("note")
def note(data: dict[str, Any], context: ActionContext) -> None:
    line = {"what": data["what"], "id": context.saga_id, "payload": {}}
    with Path(os.environ["EFFECTS_FILE"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


@deaf.action("work")
def work(_data: dict[str, Any], _context: ActionContext) -> None:
    return None
