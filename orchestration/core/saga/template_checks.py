"""What a saga template may not be: every fault at once, each with its way out."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, assert_never

from orchestration.core.jsonable import json_fault
from orchestration.core.saga.placeholders import Placeholder, placeholders
from orchestration.core.semver import is_semantic

__all__ = ["ParameterType", "template_faults", "value_fault"]

Json = Mapping[str, Any]

_PARTS: Final = ("saga", "initial_data")  # that hold placeholders
_FIELDS: Final = ("name", "version", "description", "parameters", *_PARTS)
_REQUIRED: Final = ("name", "version", "saga")
_OF_PARAMETER: Final = ("type", "description", "required", "default")
_NAME: Final = re.compile(r"[\w-]{1,200}")
_PARAMETER_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class ParameterType(StrEnum):
    """What a parameter may hold; an integer is a number, a boolean is neither."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    LIST = "list"
    OBJECT = "object"

    def holds(self, value: object) -> bool:
        """Tell whether a JSON value is of the type."""
        match self:
            case ParameterType.STRING:
                return isinstance(value, str)
            case ParameterType.INTEGER:
                return isinstance(value, int) and not isinstance(value, bool)
            case ParameterType.NUMBER:
                is_number = isinstance(value, int | float)
                return is_number and not isinstance(value, bool)
            case ParameterType.BOOLEAN:
                return isinstance(value, bool)
            case ParameterType.LIST:
                return isinstance(value, list | tuple)
            case ParameterType.OBJECT:
                return isinstance(value, Mapping)
            case _:
                assert_never(self)

    @property
    def has_text(self) -> bool:
        """Whether a value can stand inside a longer text."""
        return self not in {ParameterType.LIST, ParameterType.OBJECT}


def template_faults(value: object) -> tuple[str, ...]:
    """Return everything that is wrong with a template's JSON; empty if nothing is."""
    if not isinstance(value, Mapping):
        return (f"it is {reprlib.repr(value)}: give it an object",)
    faults = [*_about_keys(value, _FIELDS, _REQUIRED), *_about_itself(value)]
    unsound = [*_about_parts(value)]
    parameters = value.get("parameters", {})
    if not isinstance(parameters, Mapping):
        unsound.append(f"parameters is {reprlib.repr(parameters)}: give it an object")
        parameters = {}
    for name, spec in parameters.items():
        faults += (f"parameter {name!r}: {f}" for f in _about_parameter(name, spec))
    if unsound:  # what is in them cannot be compared with the parameters
        return (*faults, *unsound)
    types = {name: _type_of(spec) for name, spec in parameters.items()}
    return (*faults, *_about_placeholders(value, types))


def value_fault(kind: ParameterType, value: object, where: str) -> str | None:
    """Return why ``value`` is none of the type; None if it is one."""
    if not kind.holds(value):
        return f"{where} is {reprlib.repr(value)}: give it a value of type {kind}"
    return json_fault(value, where)


def _about_keys(
    value: Json, known: tuple[str, ...], required: tuple[str, ...]
) -> Iterator[str]:
    yield from (f"{key!r} is missing" for key in required if key not in value)
    for key in value:
        if key not in known:
            yield f"{key!r} is no field of it: it has {', '.join(known)}"


def _about_itself(value: Json) -> Iterator[str]:
    name, version = value.get("name", "-"), value.get("version", "0.0.0")
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        yield f"name {reprlib.repr(name)}: use 1 to 200 letters, digits, '_' and '-'"
    if not (isinstance(version, str) and is_semantic(version)):
        yield f"version {reprlib.repr(version)}: give it a semantic one, like 1.0.0"
    yield from _about_description(value)


def _about_description(value: Json) -> Iterator[str]:
    if not isinstance(description := value.get("description", ""), str):
        yield f"description is {reprlib.repr(description)}: give it text"


def _about_parts(value: Json) -> Iterator[str]:
    for key in _PARTS:
        part = value.get(key, {})
        if not isinstance(part, Mapping):
            yield f"{key} is {reprlib.repr(part)}: give it an object"
        elif fault := json_fault(part, key):
            yield fault
        elif key == "saga":
            for given in sorted({"transaction_id", "template"} & part.keys()):
                yield f"saga[{given!r}]: drop it, each saga is given one of its own"


def _about_parameter(name: object, spec: object) -> Iterator[str]:
    if not (isinstance(name, str) and _PARAMETER_NAME.fullmatch(name)):
        yield "name it with ASCII letters, digits and '_', and no digit first"
    if not isinstance(spec, Mapping):
        yield f"it is {reprlib.repr(spec)}: give it an object"
        return
    yield from _about_keys(spec, _OF_PARAMETER, ("type",))
    yield from _about_description(spec)
    kind = _type_of(spec)
    if kind is None and "type" in spec:
        yield f"type {reprlib.repr(spec['type'])}: use {', '.join(ParameterType)}"
    has_default = "default" in spec
    if (
        kind
        and has_default
        and (fault := value_fault(kind, spec["default"], "default"))
    ):
        yield fault
    required = spec.get("required", not has_default)
    if not isinstance(required, bool):
        yield f"required is {reprlib.repr(required)}: give it true or false"
    elif required and has_default:
        yield "it is required and has a default: drop one of them"
    elif not required and not has_default:
        yield "it is not required and has no default: give it one"


def _type_of(spec: object) -> ParameterType | None:
    named = spec.get("type") if isinstance(spec, Mapping) else None
    return next((kind for kind in ParameterType if kind == named), None)


def _about_placeholders(
    value: Json, types: Mapping[str, ParameterType | None]
) -> Iterator[str]:
    found = [each for key in _PARTS for each in placeholders(value.get(key), key)]
    for each in found:
        if fault := _about_placeholder(each, types):
            yield f"{each.where}: {fault}"
    used = {each.name for each in found}
    for name in types:
        if name not in used:
            yield f"parameter {name!r} is used nowhere: drop it, or write '${{{name}}}'"


def _about_placeholder(
    each: Placeholder, types: Mapping[str, ParameterType | None]
) -> str | None:
    if not each.is_closed:
        return f"'${{{each.name}' has no end: close it, or write '$${{' for '${{'"
    mark = f"'${{{each.name}}}'"
    if each.is_in_key:
        return f"{mark} stands in a key: it can only stand in a value"
    if each.name not in types:
        known = ", ".join(types) or "none"
        return f"{mark} is no parameter: it has {known}; '$${{' stands for '${{'"
    kind = types[each.name]
    if kind and not (kind.has_text or each.is_whole):
        return f"{mark} is of type {kind}: let it stand alone in its text"
    return None
