"""What Celery is told of the processes of a local stack."""

from __future__ import annotations

from typing import Any, cast

import pytest

from orchestration.cli.stack import LocalStack


@pytest.mark.parametrize(
    ("modules", "words"),
    [(("shop", "bank"), ["-I", "shop,bank"]), (("shop",), ["-I", "shop"]), ((), [])],
)
def test_a_worker_is_given_all_modules_in_one_word(modules, words):
    stack = LocalStack(cast(Any, None), {})  # starts nothing
    part = stack.worker("main", modules=modules)
    at = part.words.index("-n") + 2
    assert list(part.words[at:]) == [*words, "-c", "2"]
