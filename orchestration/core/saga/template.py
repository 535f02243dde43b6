"""Saga templates: definitions with a name, a version and typed parameters.

A template is JSON::

    {
      "name": "order",
      "version": "1.2.0",
      "description": "Reserve the goods, then charge the customer.",
      "parameters": {
        "customer": {"type": "string", "description": "Who pays."},
        "timeout_ms": {"type": "integer", "default": 60000}
      },
      "saga": {
        "name": "order",
        "timeout_ms": "${timeout_ms}",
        "steps": [{"name": "reserve", "agent_id": "agent-stock"}]
      },
      "initial_data": {"customer": "${customer}"}
    }

``saga`` is a definition as ``SagaTransaction.from_json`` reads it, ``initial_data`` the
input to run it with, which may be left out. A parameter without a default is required.
"""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from orchestration.core.saga.model import SagaTransaction
from orchestration.core.saga.placeholders import filled
from orchestration.core.saga.template_checks import (
    ParameterType,
    template_faults,
    value_fault,
)
from orchestration.errors import InvalidTemplate

__all__ = ["ParameterType", "SagaTemplate", "TemplateParameter"]

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateParameter:
    """One parameter of a template.

    Attributes:
        type: What it holds.
        description: For those who fill it.
        required: Whether it must be given.
        default: What it is when it is not given; of no meaning if it is required.
    """

    type: ParameterType
    description: str = ""
    required: bool = True
    default: Any = None

    def to_json(self) -> dict[str, Any]:
        """Return the parameter as it stands in a template."""
        out = {
            "type": self.type.value,
            "description": self.description,
            "required": self.required,
        }
        return out if self.required else out | {"default": copy.deepcopy(self.default)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaTemplate:
    """A saga's definition with parameters; ``from_json`` makes sound ones.

    Attributes:
        name: Letters, digits, ``_`` and ``-``.
        version: A semantic version.
        description: What the saga is for.
        parameters: By name.
        saga: The definition with its placeholders.
        initial: The initial data with its placeholders.
    """

    name: str
    version: str
    description: str = ""
    parameters: Mapping[str, TemplateParameter] = field(default_factory=dict)
    saga: Json
    initial: Json = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The template's name and version, as ``order@1.2.0``."""
        return f"{self.name}@{self.version}"

    def transaction(
        self, parameters: Json, *, transaction_id: str | None = None
    ) -> SagaTransaction:
        """Return the saga that the template is with these parameters.

        Whether its steps are in order (their names, cycles, the pivot) is checked when
        it is started, as for any other saga.

        Args:
            parameters: By name; those with a default may be left out.
            transaction_id: Of the saga; None: a new one.

        Raises:
            InvalidTemplate: A parameter is unknown, missing or of the wrong type, or
                the definition is none with these values; ``faults`` lists all.
        """
        definition = filled(self.saga, self._given(parameters))
        saga_id = transaction_id or _new_id()
        try:
            made = SagaTransaction.from_json(definition, transaction_id=saga_id)
        except ValueError as exc:
            raise InvalidTemplate(self.label, [str(exc)]) from exc
        return replace(made, template=self.label)

    def initial_data(self, parameters: Json) -> dict[str, Any]:
        """Return the input to run the saga with.

        Raises:
            InvalidTemplate: As for ``transaction``.
        """
        data: dict[str, Any] = filled(self.initial, self._given(parameters))
        return data

    def to_json(self) -> dict[str, Any]:
        """Return the template as JSON; ``from_json`` reads it back."""
        return {
            "name": self.name,
            "version": self.version,
            "description": self.description,
            "parameters": {
                name: parameter.to_json() for name, parameter in self.parameters.items()
            },
            "saga": copy.deepcopy(dict(self.saga)),
            "initial_data": copy.deepcopy(dict(self.initial)),
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Read a template from JSON.

        Raises:
            InvalidTemplate: ``faults`` lists everything that is wrong with it.
        """
        if faults := template_faults(value):
            raise InvalidTemplate(_label(value), faults)
        given = copy.deepcopy(dict(value))
        return cls(
            name=given["name"],
            version=given["version"],
            description=given.get("description", ""),
            parameters={
                name: TemplateParameter(
                    type=ParameterType(spec["type"]),
                    description=spec.get("description", ""),
                    required="default" not in spec,
                    default=spec.get("default"),
                )
                for name, spec in given.get("parameters", {}).items()
            },
            saga=given["saga"],
            initial=given.get("initial_data", {}),
        )

    def _given(self, parameters: Json) -> dict[str, Any]:
        """Return a value for each parameter, or refuse all that is wrong at once."""
        if not isinstance(parameters, Mapping):
            raise InvalidTemplate(
                self.label,
                [f"parameters is {reprlib.repr(parameters)}: give it an object"],
            )
        known = ", ".join(self.parameters) or "none"
        faults = [
            f"parameter {name!r} is not known: it has {known}"
            for name in parameters
            if name not in self.parameters
        ]
        values = {}
        for name, parameter in self.parameters.items():
            if name in parameters:
                values[name] = value = parameters[name]
                if fault := value_fault(parameter.type, value, f"parameter {name!r}"):
                    faults.append(fault)
            elif parameter.required:
                words = f" ({parameter.description})" if parameter.description else ""
                fault = f"give it a value of type {parameter.type}{words}"
                faults.append(f"parameter {name!r} is missing: {fault}")
            else:
                values[name] = parameter.default
        if faults:
            raise InvalidTemplate(self.label, faults)
        return values


def _new_id() -> str:
    """Return an id as the model makes them."""
    return SagaTransaction("", ()).transaction_id


def _label(value: object) -> str:
    """Return what a template calls itself, as far as it does."""
    given = value if isinstance(value, Mapping) else {}
    told = [
        part for key in ("name", "version") if isinstance(part := given.get(key), str)
    ]
    return "@".join(told)
