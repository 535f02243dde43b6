"""What ``orchestration saga run`` starts: a file, a template, or out of a module."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestration.core.saga.model import SagaTransaction
    from orchestration.core.saga.template import SagaTemplate

__all__ = ["definition", "templates_folder"]


def definition(
    text: str,
    saga_id: str | None,
    *,
    parameters: Mapping[str, str],
    folder: str | None,
) -> tuple[SagaTransaction, dict[str, Any]]:
    """Return the transaction that an argument names, and its initial data.

    Args:
        text: A file's name with ``.json``, a template's name, with ``@`` and its
            version or without, or a module with ``:`` and a name in it.
        saga_id: The saga's id; None: a new one.
        parameters: Of a template, by name.
        folder: Of the templates; None: what the settings say.

    Raises:
        click.BadParameter: It names none; the text says what is wrong.
        InvalidTemplate: The template does not take these parameters.
        TemplateNotFound: There is no such template.
    """
    from orchestration.errors import TemplateNotFound

    is_file, is_module = text.endswith(".json"), ":" in text
    if (is_file or is_module) and parameters:
        raise click.BadParameter(f"--param is for templates, and {text} is none")
    if is_file:
        return _from_file(text, saga_id), {}
    if is_module:
        return _from_module(text, saga_id), {}
    try:
        return _from_template(text, saga_id, parameters, folder)
    except TemplateNotFound as no_template:
        if "@" in text or parameters:
            raise
        try:
            return _from_module(text, saga_id), {}
        except click.BadParameter as exc:
            raise click.BadParameter(f"{no_template}; and {exc.message}") from exc


def templates_folder(folder: str | None) -> str:
    """Return where templates are: what was said, or what the settings say."""
    import os

    from orchestration.settings import Settings

    default = Settings.model_fields["templates_dir"].default
    return folder or os.environ.get("ORCHESTRATION_TEMPLATES_DIR") or str(default)


def _from_file(text: str, saga_id: str | None) -> SagaTransaction:
    from uuid import uuid4

    from orchestration.core.saga.model import SagaTransaction

    try:
        value = json.loads(Path(text).read_text("utf-8"))
        return SagaTransaction.from_json(value, transaction_id=saga_id or str(uuid4()))
    except (OSError, ValueError) as exc:
        raise click.BadParameter(f"{text}: {exc}") from exc


def _from_module(text: str, saga_id: str | None) -> SagaTransaction:
    from dataclasses import replace

    from orchestration.core.saga.model import SagaTransaction

    module, _, name = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), name or "transaction")
        if callable(found):
            inspect.signature(found).bind()  # the function's own errors are its own
    except (ImportError, AttributeError, TypeError, ValueError) as exc:
        raise click.BadParameter(f"{text}: {exc}") from exc
    made = found() if callable(found) else found
    if not isinstance(made, SagaTransaction):
        raise click.BadParameter(f"{text} is {type(made).__name__}, no SagaTransaction")
    # A definition of a module has one id for as long as it is imported: this run's.
    return replace(made, transaction_id=saga_id) if saga_id else made


def _from_template(
    text: str, saga_id: str | None, given: Mapping[str, str], folder: str | None
) -> tuple[SagaTransaction, dict[str, Any]]:
    from orchestration.adapters.template_folder import TemplateFolder

    name, _, version = text.partition("@")
    template = TemplateFolder(templates_folder(folder)).load(name, version or None)
    values = {name: _value(template, name, text) for name, text in given.items()}
    transaction = template.transaction(values, transaction_id=saga_id)
    return transaction, template.initial_data(values)


def _value(template: SagaTemplate, name: str, text: str) -> Any:  # noqa: ANN401 - JSON
    """Return a parameter's value: text as it is for text, else the JSON that it is."""
    from orchestration.core.saga.template import ParameterType

    parameter = template.parameters.get(name)
    if parameter is None or parameter.type is ParameterType.STRING:
        return text  # one that is not known is named by the template, with the others
    try:
        return json.loads(text)
    except ValueError as exc:
        raise click.BadParameter(
            f"--param {name}={text} is no {parameter.type} in JSON: {exc}"
        ) from exc
