"""Hypothesis strategies: conditions, other texts, and JSON to ask them of."""

from __future__ import annotations

import ast
from typing import Any

from hypothesis import strategies as st

__all__ = ["CONDITIONS", "EXPRESSIONS", "TEXTS", "VALUES"]

Nodes = st.SearchStrategy[ast.expr]

_LETTERS = st.sampled_from(["a", "b", "ab", "", "é", "\x00", "\ud800", "a\n'\""])
_NUMBERS = st.integers(-2, 3) | st.sampled_from([0.5, 1.0, -0.0, 1e300, 2**70])
_SCALARS = st.none() | st.booleans() | _NUMBERS | _LETTERS
_JSON = st.recursive(
    _SCALARS | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_LETTERS, inner, max_size=3)
    ),
    max_leaves=6,
)
_NAMES = st.sampled_from(["x", "y", "payload"])
VALUES = st.dictionaries(_NAMES, _JSON, max_size=3)

_LOAD = ast.Load()
_ORDER = st.sampled_from([ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE])
_READS = st.builds(ast.Name, _NAMES, st.just(_LOAD))


def _constant(value: Any) -> ast.expr:
    """Return a constant's node as the parser makes it: a minus is not part of it."""
    if type(value) in (int, float) and repr(value).startswith("-"):
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


_CONSTANTS = _SCALARS.map(_constant)


def _method(name: str, holder: ast.expr, arguments: list[ast.expr]) -> ast.expr:
    return ast.Call(ast.Attribute(holder, name, _LOAD), arguments, [])


def _compared(left: ast.expr, others: list[tuple[Any, ast.expr]]) -> ast.expr:
    return ast.Compare(left, [op() for op, _ in others], [part for _, part in others])


def _comparisons(inner: Nodes) -> Nodes:
    brackets = st.sampled_from([ast.List, ast.Tuple])
    constants = st.builds(
        lambda kind, parts: kind(parts, _LOAD),
        brackets,
        st.lists(_CONSTANTS, max_size=3),
    )
    chain = st.lists(st.tuples(_ORDER, inner), min_size=1, max_size=3)
    search = st.tuples(st.sampled_from([ast.In, ast.NotIn]), inner | constants)
    single = st.sampled_from([None, True, False]).map(ast.Constant)
    identity = st.tuples(st.sampled_from([ast.Is, ast.IsNot]), single)
    read = st.builds(
        _method, st.just("get"), _READS, _LETTERS.map(_constant).map(_list)
    )
    return st.one_of(
        st.builds(_compared, inner, chain),
        st.builds(_compared, inner, search.map(_list)),
        st.builds(_compared, _READS | read, identity.map(_list)),
    )


def _list(part: Any) -> list[Any]:
    """Return a list of one."""
    return [part]


def _grown(inner: Nodes) -> Nodes:
    """Draw what the language has, around smaller parts."""
    one = inner.map(_list)
    affix = st.sampled_from(["startswith", "endswith"])
    pairs = st.lists(st.tuples(_LETTERS.map(ast.Constant), inner), max_size=2)
    return st.one_of(
        st.builds(
            ast.BoolOp,
            st.sampled_from([ast.And(), ast.Or()]),
            st.lists(inner, min_size=2, max_size=3),
        ),
        st.builds(ast.UnaryOp, st.just(ast.Not()), inner),
        _comparisons(inner),
        st.builds(
            _method, st.just("get"), inner, st.lists(inner, min_size=1, max_size=2)
        ),
        st.builds(_method, affix, inner, one),
        st.builds(ast.Call, st.just(ast.Name("len", _LOAD)), one, st.just([])),
        st.builds(ast.Subscript, inner, inner, st.just(_LOAD)),
        st.builds(ast.List, st.lists(inner, max_size=2), st.just(_LOAD)),
        pairs.map(lambda some: ast.Dict([k for k, _ in some], [v for _, v in some])),
    )


def _foreign(inner: Nodes) -> Nodes:
    """Draw what Python has, the language's own among it."""
    operators = st.sampled_from([ast.Add(), ast.Mult(), ast.Pow(), ast.LShift()])
    attributes = st.sampled_from(["__class__", "pop", "get", "update", "format"])
    bound = ast.Name("x", ast.Store())
    loop = inner.map(lambda part: [ast.comprehension(bound, part, [], 0)])
    nothing = ast.arguments([], [], None, [], [], None, [])
    return st.one_of(
        _grown(inner),
        st.builds(ast.BinOp, inner, operators, inner),
        st.builds(ast.UnaryOp, st.just(ast.Invert()), inner),
        st.builds(ast.Attribute, inner, attributes, st.just(_LOAD)),
        st.builds(ast.Call, inner, st.lists(inner, max_size=2), st.just([])),
        st.builds(ast.IfExp, inner, inner, inner),
        st.builds(ast.ListComp, inner, loop),
        st.builds(ast.GeneratorExp, inner, loop),
        st.builds(ast.Lambda, st.just(nothing), inner),
        st.builds(ast.Starred, inner, st.just(_LOAD)),
        st.builds(ast.NamedExpr, st.just(bound), inner),
        _READS.map(lambda part: ast.JoinedStr([ast.FormattedValue(part, -1, None)])),
        st.builds(
            lambda holder, start: ast.Subscript(holder, ast.Slice(start), _LOAD),
            inner,
            inner,
        ),
        st.builds(ast.Tuple, st.lists(inner, max_size=2), st.just(_LOAD)),
        st.lists(inner, min_size=1, max_size=2).map(ast.Set),
    )


_LEAVES = _READS | _CONSTANTS

CONDITIONS = st.recursive(_LEAVES, _grown, max_leaves=12).map(ast.unparse)
"""Texts of the language; some are nested too deep."""

EXPRESSIONS = st.recursive(_LEAVES, _foreign, max_leaves=8).map(ast.unparse)
"""Texts of Python's expressions, most of them not of the language."""

_WORDS = "x y payload . get ( ) [ ] { } 'a' 1 - not and or in is None == < , : = \\ *"
_ODD = ["lambda", "for", "if", "else", "f'", "b'", "0x", "e9", "\n", "#", "é", "\x00"]

TEXTS = st.text(max_size=40) | st.lists(
    st.sampled_from([*_WORDS.split(), *_ODD]), max_size=25
).map(" ".join)
"""Any text, and words of the language in any order."""
