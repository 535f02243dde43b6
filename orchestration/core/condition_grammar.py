"""What the text of a condition may be, and the code that is written for it.

Two gates, each an allow-list. The first reads the text sign by sign, before Python's
parser does: its size and depth, and which characters, texts and numbers it has. The
second goes through the parsed tree and writes each node it knows anew; what it does not
know is refused. So of what is compiled in the end each word is from here, and of the
author's text there are only constants, by their ``repr``.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Final, NoReturn

from orchestration.errors import InvalidCondition

__all__ = [
    "MAX_CHARACTERS",
    "MAX_DEPTH",
    "MAX_NODES",
    "MAX_TOKENS",
    "code_of",
    "refuse",
]

MAX_CHARACTERS: Final = 2_000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 20
MAX_TOKENS: Final = 500  # keeps Python's parser from deep recursion

_ALLOWED: Final = (
    "a condition is made of names, texts, numbers, True, False, None, lists, objects, "
    "x[key], x.get(key, default), x.startswith(text), x.endswith(text), len(x), "
    "==, !=, <, <=, >, >=, in, not in, is None, and, or, not"
)
_SHOWN: Final = 100  # characters of a condition that an error shows


def code_of(text: str) -> tuple[str, Mapping[str, int]]:
    """Return the code of a condition, and where each name it reads stands first.

    The code is an expression over ``v`` (the values), ``b`` (the budget) and the
    functions of ``condition_values``.

    Raises:
        InvalidCondition: The text is not of the language, or over a limit.
    """
    if len(text) > MAX_CHARACTERS:
        fault = f"it has {len(text)} characters, at most {MAX_CHARACTERS} are allowed"
        refuse(text, MAX_CHARACTERS, fault)
    _check_signs(text)
    writer = _Writer(text)
    return writer.write(_tree(text)), writer.places


def refuse(text: str, place: int, fault: str) -> NoReturn:
    """Raise InvalidCondition; ``place`` counts from 0, the error from 1."""
    start = max(0, place - _SHOWN // 2)
    shown = repr(text[start : start + _SHOWN])
    before, after = "…" * (start > 0), "…" * (start + _SHOWN < len(text))
    raise InvalidCondition(
        f"condition {before}{shown}{after}, at character {place + 1}: {fault}; "
        f"{_ALLOWED}",
        text,
        place + 1,
    )


_ESCAPE = r"""\\(?:[\\'"nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})"""
_TOKEN: Final = re.compile(
    rf"""(?P<space>[ \t\n]+)
    |(?P<text>'(?:[^'\\\n]|{_ESCAPE})*'|"(?:[^"\\\n]|{_ESCAPE})*")
    |(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>[=!<>]=|[-!$%&()*+,./:;<>?@\[\]^`{{|}}~])""",
    re.VERBOSE,
)
# Python reads these as one token, as a text's prefix, or warns of them.
_GLUED: Final = {("number", "number"), ("number", "word"), ("word", "text")}


def _check_signs(text: str) -> None:
    """Refuse what Python's parser would stumble over, or read otherwise than people.

    That is: nesting and chains that are too deep for it, characters that do not show
    or only look like others, escapes that it warns of, prefixed and joined texts.
    """
    depth = count = 0
    before, end = "", 0  # the kind of the token before, and where it ended
    for kind, sign, place in _tokens(text):
        count += 1
        depth += (sign in "([{") - (sign in ")]}")
        if depth > MAX_DEPTH:
            refuse(text, place, f"it is nested more than {MAX_DEPTH} deep")
        if count > MAX_TOKENS:
            refuse(text, place, f"it has more than {MAX_TOKENS} words and signs")
        if kind == "text" and not sign.isprintable():
            refuse(text, place, "this text holds a character that does not show")
        if kind == before == "text":
            refuse(text, place, "two texts stand side by side: a comma is missing")
        if place == end and (before, kind) in _GLUED:
            refuse(text, place, f"{sign[:20]!r} runs into what stands before it")
        before, end = kind, place + len(sign)
    if not count:
        refuse(text, 0, "it is empty")


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield kind, text and place of each token, without the spaces."""
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            refuse(text, place, _about_sign(text[place]))
        if found.lastgroup != "space":
            yield found.lastgroup, found[0], place
        place = found.end()


def _about_sign(sign: str) -> str:
    if sign == "=":
        return "'=' would assign: compare with '=='"
    if sign in "'\"":
        return (
            "this text does not end in its line, or has another escape than "
            r"\\, \', \", \n, \r, \t, \x.. and \u...."
        )
    return f"{sign!a} is not allowed outside of a text"


def _tree(text: str) -> ast.expr:
    # One line, so that it needs no brackets, and columns are places in the text.
    line = text.replace("\n", " ").replace("\t", " ")
    start = _start(line)
    try:
        return ast.parse(line[start:], mode="eval").body
    except (SyntaxError, ValueError) as exc:
        place = start + max(1, getattr(exc, "offset", None) or 1) - 1
        words = getattr(exc, "msg", None) or str(exc)
        refuse(text, min(place, len(text)), f"it is no expression: {words}")


def _start(text: str) -> int:
    """Return where the expression starts: to Python, blanks are an indentation."""
    return len(text) - len(text.lstrip())


_SINGLE: Final = (bool, NoneType)
_SIGNS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_WORDS: Final[Mapping[type[ast.expr], str]] = {
    ast.BinOp: "arithmetic",
    ast.UnaryOp: "arithmetic",
    ast.IfExp: "'if'",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.Await: "'await'",
    ast.Yield: "'yield'",
    ast.YieldFrom: "'yield'",
    ast.Slice: "a slice",
    ast.Starred: "'*'",
    ast.Tuple: "a tuple, unless right of 'in' and of constants,",
    ast.Set: "a set, unless right of 'in' and of constants,",
    ast.Constant: "'...'",
}


class _Writer:
    """Writes a condition's tree anew.

    Attributes:
        places: The names that the condition reads, and where each stands first.
    """

    def __init__(self, text: str) -> None:
        self.places: dict[str, int] = {}
        self._text = text
        self._nodes = 0
        self._depth = 0

    def write(self, node: ast.expr) -> str:
        """Return the code of a node and of all in it; refuse what is not known."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(node, f"it has more than {MAX_NODES} parts")
        if self._depth == MAX_DEPTH:
            self._refuse(node, f"it is nested more than {MAX_DEPTH} deep")
        self._depth += 1
        code = self._code(node)
        self._depth -= 1
        return code

    def _code(self, node: ast.expr) -> str:
        if _is_constant(node):
            return self._constant(node)
        match node:
            case ast.Name(id=name):
                self.places.setdefault(name, self._place(node))
                return f"name(v, {name!r}, b)"
            case ast.BoolOp(op=op, values=parts):
                word = " and " if isinstance(op, ast.And) else " or "
                return f"({word.join(map(self.write, parts))})"
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return f"(not {self.write(part)})"
            case ast.Compare(ops=[ast.Is() | ast.IsNot() as op]):
                return self._identity(node.left, op, node.comparators[0])
            case ast.Compare(ops=[ast.In() | ast.NotIn() as op]):
                found = self._membership(node.left, node.comparators[0])
                return found if isinstance(op, ast.In) else f"(not {found})"
            case ast.Compare(ops=ops):
                return self._comparison([node.left, *node.comparators], ops)
            case ast.Call():
                return self._call(node)
            case ast.Subscript(value=holder, slice=key):
                return f"item({self.write(holder)}, {self._plain(key)}, b)"
            case ast.List(elts=parts):
                return self._list(parts)
            case ast.Dict(keys=keys, values=parts):
                return self._object(keys, parts)
            case _:
                return self._unknown(node)

    def _constant(self, node: ast.expr) -> str:
        value = ast.literal_eval(node)
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(node, "this number is too large")
        return f"({value!r})"

    def _comparison(self, parts: Sequence[ast.expr], ops: Sequence[ast.cmpop]) -> str:
        # A constant can be compared with anything at once: it is equal to no list and
        # no object. Others could both be lists, of whatever length and content.
        fixed = [True, *map(_is_constant, parts), True]
        code = ""
        for at, (part, op) in enumerate(zip(parts, [None, *ops], strict=True)):
            if op is not None:
                if type(op) not in _SIGNS:
                    self._refuse(part, "'in' and 'is' cannot be chained: use 'and'")
                code += f" {_SIGNS[type(op)]} "
            is_safe = fixed[at] and fixed[at + 2]
            code += self.write(part) if is_safe else self._plain(part)
        return f"({code})"

    def _identity(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> str:
        if not (isinstance(right, ast.Constant) and type(right.value) in _SINGLE):
            self._refuse(right, "'is' is for None, True and False: use '=='")
        if _is_constant(left) or isinstance(left, ast.List | ast.Dict):
            self._refuse(left, "a constant left of 'is' is not allowed")
        word = "is" if isinstance(op, ast.Is) else "is not"
        return f"({self.write(left)} {word} {self.write(right)})"

    def _membership(self, item: ast.expr, holder: ast.expr) -> str:
        if isinstance(holder, ast.List | ast.Tuple | ast.Set) and all(
            map(_is_constant, holder.elts)
        ):
            return f"({self.write(item)} in {self._list(holder.elts)})"
        return f"contains({self._plain(item)}, {self.write(holder)}, b)"

    def _call(self, node: ast.Call) -> str:
        if not node.keywords:
            match node.func, node.args:
                case ast.Attribute(value=holder, attr="get"), [key, *rest] if (
                    len(rest) < 2  # noqa: PLR2004  a default, or none
                ):
                    default = self.write(rest[0]) if rest else "None"
                    found = f"{self.write(holder)}, {self._plain(key)}"
                    return f"get({found}, {default}, b)"
                case ast.Attribute(value=text, attr="startswith"), [part]:
                    return f"starts({self.write(text)}, {self._plain(part)})"
                case ast.Attribute(value=text, attr="endswith"), [part]:
                    return f"ends({self.write(text)}, {self._plain(part)})"
                case ast.Name(id="len"), [part]:
                    return f"size({self.write(part)})"
        return self._unknown_call(node.func)

    def _unknown_call(self, function: ast.expr) -> NoReturn:
        match function:
            case ast.Attribute(attr="get" | "startswith" | "endswith" as name):
                fault = f".{name} is not allowed with these arguments"
            case ast.Attribute(attr=name):
                fault = f"the call of .{name}() is not allowed"
            case ast.Name(id=name):
                fault = f"the call of {name}() is not allowed"
            case _:
                fault = "this call is not allowed"
        self._refuse(function, fault)

    def _unknown(self, node: ast.expr) -> NoReturn:
        word = _WORDS.get(type(node), type(node).__name__)
        if isinstance(node, ast.Attribute):
            word = f"the attribute .{node.attr}"
        self._refuse(node, f"{word} is not allowed")

    def _list(self, parts: Sequence[ast.expr]) -> str:
        return f"[{', '.join(map(self.write, parts))}]"

    def _object(
        self, keys: Sequence[ast.expr | None], values: Sequence[ast.expr]
    ) -> str:
        pairs = []
        for key, value in zip(keys, values, strict=True):
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                self._refuse(key or value, "an object's key other than a text")
            pairs.append(f"{self.write(key)}: {self.write(value)}")
        return f"{{{', '.join(pairs)}}}"

    def _plain(self, part: ast.expr) -> str:
        """Return the code of what is compared, searched for or looked up as a whole."""
        code = self.write(part)
        return code if _is_constant(part) else f"whole({code}, b)"

    def _refuse(self, node: ast.expr, fault: str) -> NoReturn:
        refuse(self._text, self._place(node), fault)

    def _place(self, node: ast.expr) -> int:
        at = node.col_offset  # in bytes
        if isinstance(node, ast.Attribute):  # where its dot is, more or less
            at = node.value.end_col_offset or at
        start = _start(self._text)
        return start + len(self._text[start:].encode()[:at].decode())


def _is_constant(node: ast.expr) -> bool:
    """Tell whether a node is a text, a number, True, False or None."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)):
            return type(value) in (int, float)
        case ast.Constant(value=value):
            return type(value) in (str, int, float, bool, NoneType)
    return False
