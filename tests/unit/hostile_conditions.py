"""Texts that try to get more from a condition than an answer, each with what it tries.

``REFUSED`` are no conditions: each with the words of the fault that stops it.
``BOUNDED`` are conditions that try to make the evaluation expensive or to have foreign
code run: each with the values that would help it and the error that ends it, or None
where it is answered within the bounds.
"""

from __future__ import annotations

from typing import Any

from orchestration.core.condition_grammar import MAX_CHARACTERS, MAX_NODES, MAX_TOKENS
from orchestration.core.condition_values import MAX_DATA_DEPTH, MAX_WORK

__all__ = ["BOUNDED", "REFUSED", "Trap"]

_DEEP = "nested more than 20 deep"
_TOKENS = f"more than {MAX_TOKENS} words and signs"
_SIGN = "is not allowed outside of a text"
_ARITHMETIC = "arithmetic is not allowed"
_COMPREHENSION = "a comprehension is not allowed"

REFUSED: list[tuple[str, str, str]] = [
    # Out of the language by an attribute, to a class, a module, a frame.
    ("reach object's subclasses", "().__class__.__bases__[0].__subclasses__()", "call"),
    ("reach a class", "payload.__class__", "attribute .__class__"),
    ("reach a class by a text", "''.__class__ == 1", "attribute .__class__"),
    ("reach globals", "payload.get.__globals__", "attribute .__globals__"),
    ("reach a method's self", "payload.get.__self__", "attribute .__self__"),
    ("hold a method", "payload.get", "attribute .get"),
    ("hold a method of a text", "'a'.startswith", "attribute .startswith"),
    ("call what get returns", "payload.get('a')('b')", "this call"),
    ("call a method's method", "payload.get.__call__('a')", "call of .__call__()"),
    ("pickle's door", "payload.__reduce__()", "call of .__reduce__()"),
    ("read an attribute of data", "message.sender == 'a'", "attribute .sender"),
    ("an attribute after a subscript", "payload['a'].real", "attribute .real"),
    ("format's door", "'{0.__class__}'.format(payload)", "call of .format()"),
    ("format_map's door", "'{a}'.format_map(payload)", "call of .format_map()"),
    # Change what it is given.
    ("take out of the message", "payload.pop('a')", "call of .pop()"),
    ("put into the message", "payload.update({'a': 1})", "call of .update()"),
    ("put a default in", "payload.setdefault('a', 1)", "call of .setdefault()"),
    ("empty the message", "payload.clear()", "call of .clear()"),
    ("take any out", "payload.popitem()", "call of .popitem()"),
    ("put by the operator's name", "payload.__setitem__('a', 1)", "call of"),
    ("append", "payload.get('tags').append('a')", "call of .append()"),
    ("sort", "payload['tags'].sort()", "call of .sort()"),
    ("assign", "a = 1", "'=' would assign"),
    ("assign a part", "payload['a'] = 1", "'=' would assign"),
    ("assign and use", "(a := 1) == 1", "'=' would assign"),
    ("augment", "a += 1", "'=' would assign"),
    ("delete", "del payload['a']", "no expression"),
    # Call something.
    ("import", "__import__('os').system('true')", "call of .system()"),
    ("import alone", "__import__('os')", "call of __import__()"),
    ("evaluate", "eval('1')", "call of eval()"),
    ("execute", "exec('1')", "call of exec()"),
    ("compile", "compile('1', '', 'eval')", "call of compile()"),
    ("open a file", "open('/etc/passwd')", "call of open()"),
    ("read the terminal", "input()", "call of input()"),
    ("stop the process", "exit()", "call of exit()"),
    ("stop in the debugger", "breakpoint()", "call of breakpoint()"),
    ("getattr", "getattr(payload, 'pop')('a')", "this call"),
    ("list the names", "dir()", "call of dir()"),
    ("globals", "globals()", "call of globals()"),
    ("print", "print('a')", "call of print()"),
    ("a long range", "1 in range(10000000000)", "call of range()"),
    ("sort a lot", "sorted(payload)", "call of sorted()"),
    ("hash", "hash(payload) == 1", "call of hash()"),
    ("make a text", "str(payload) == 'a'", "call of str()"),
    ("len of nothing", "len()", "call of len()"),
    ("len of two", "len(a, b)", "call of len()"),
    ("get of nothing", "payload.get()", ".get is not allowed with these"),
    ("get of three", "payload.get('a', 'b', 'c')", ".get is not allowed with these"),
    ("get by keyword", "payload.get(key='a')", "'=' would assign"),
    ("get of a list", "payload.get(*['a'])", "'*' is not allowed"),
    ("get of an object", "payload.get(**{'a': 1})", ".get is not allowed with these"),
    ("startswith from somewhere", "a.startswith('a', 1)", ".startswith is not allowed"),
    ("startswith of many", "a.startswith(('a', 'b'))", "a tuple, unless"),
    ("a call as a function", "payload.get('f')(1)", "this call"),
    ("call a number", "1(2)", "this call"),
    ("call a text", "'a'('b')", "this call"),
    # Compute.
    ("a huge power", "9**9**9", _ARITHMETIC),
    ("a huge power compared", "2**100000000 > x", _ARITHMETIC),
    ("repeat a text", "'a' * 10000000000 == x", _ARITHMETIC),
    ("repeat a list", "[payload] * 100000000", _ARITHMETIC),
    ("repeat from the other side", "1000000000 * 'a' in x", _ARITHMETIC),
    ("a huge shift", "1 << 10000000000 > x", _ARITHMETIC),
    ("add", "a + b == 1", _ARITHMETIC),
    ("concatenate", "'a' + 'b' == x", _ARITHMETIC),
    ("divide by zero", "1 / 0 == 1", _ARITHMETIC),
    ("divide whole", "1 // 0 == 1", _ARITHMETIC),
    ("format a text widely", "'%1000000000d' % 1 == x", _ARITHMETIC),
    ("matrices", "a @ b", _ARITHMETIC),
    ("bits", "a & b", _ARITHMETIC),
    ("more bits", "a | b ^ c", _ARITHMETIC),
    ("flip bits", "~a", _ARITHMETIC),
    ("negate a name", "-a == 1", _ARITHMETIC),
    ("negate twice", "- -1 == 1", _ARITHMETIC),
    ("plus", "+1 == 1", _ARITHMETIC),
    ("negate a truth", "-True == 1", _ARITHMETIC),
    ("a slice, a copy of all", "payload['tags'][:] == x", "a slice is not allowed"),
    ("a slice with a step", "x[::-1] == x", "a slice is not allowed"),
    ("a slice in a tuple", "x[1:2, 3] == x", "a tuple, unless"),
    # Loop, branch, define.
    ("a list made", "[a for a in b]", _COMPREHENSION),
    ("loops in loops", "[a for a in x for b in x for c in x]", _COMPREHENSION),
    ("a set made", "{a for a in b}", _COMPREHENSION),
    ("an object made", "{a: a for a in b}", _COMPREHENSION),
    ("a generator", "(a for a in b)", _COMPREHENSION),
    ("any", "any(a for a in b)", "call of any()"),
    ("a lambda", "lambda: 1", "a lambda is not allowed"),
    ("a lambda called", "(lambda: 1)()", "this call"),
    ("recursion", "(lambda f: f(f))(lambda f: f(f))", "this call"),
    ("a branch", "a if b else c", "'if' is not allowed"),
    ("yield", "(yield 1)", "'yield' is not allowed"),
    ("yield from", "(yield from a)", "'yield' is not allowed"),
    ("await", "await a", "'await' is not allowed"),
    ("a statement", "pass", "no expression"),
    ("two statements", "a; b", "no expression"),
    ("two lines", "a\nimport os", "no expression"),
    ("a function", "def f(): pass", "no expression"),
    ("a loop", "while True: pass", "no expression"),
    ("a decorator", "@a", "no expression"),
    # Constants that are not JSON's, or not what they look like.
    ("bytes", "b'a' == x", "runs into"),
    ("bytes, raw", "rb'a' == x", "runs into"),
    ("a raw text", "r'a' == x", "runs into"),
    ("an f-string", "f'{payload.pop()}'", "runs into"),
    ("an f-string, upper case", 'F"{payload}"', "runs into"),
    ("a text of lines", "'''a''' == x", "two texts stand side by side"),
    ("a text of lines, open", '"""a', "does not end in its line"),
    ("joined texts: a comma is missing", "x in ['a' 'b']", "side by side"),
    ("a complex number", "1j == x", "runs into"),
    ("ellipsis", "... == x", "'...' is not allowed"),
    ("an infinite number", "x < 1e999", "number is too large"),
    ("a negative infinite number", "x > -1e999", "number is too large"),
    ("hexadecimal", "0xFF == x", "runs into"),
    ("grouped digits", "1_000 == x", "runs into"),
    ("a number glued to a word: Python warns", "1or 2", "runs into"),
    ("numbers glued", "1.2.3 == x", "runs into"),
    ("an octal that is none", "007 == x", "no expression"),
    ("an escape that Python warns of", r"x == '\d'", "does not end in its line"),
    ("an escape by name loads a table", r"x == '\N{BULLET}'", "does not end in"),
    ("an octal escape", r"x == '\0'", "does not end in its line"),
    ("an object with a number as key", "{1: 2} == x", "key other than a text"),
    ("an object with a name as key", "{a: 2} == x", "key other than a text"),
    ("an object of another", "{**payload} == x", "key other than a text"),
    ("a list of another", "[*payload] == x", "'*' is not allowed"),
    ("a set", "{'a'} == x", "a set, unless"),
    ("a set of data", "a in {a, b}", "a set, unless"),
    ("a tuple", "(a, b) == x", "a tuple, unless"),
    ("an empty tuple", "() == x", "a tuple, unless"),
    ("a tuple without brackets", "a == 1, b == 2", "a tuple, unless"),
    ("identity of numbers", "a is 257", "'is' is for None, True and False"),
    ("identity of one, which equals True", "a is 1", "'is' is for None, True and"),
    ("identity of data", "a is b", "'is' is for None, True and False"),
    ("identity of a constant: Python warns", "'a' is None", "a constant left of"),
    ("a chain that nobody reads right", "'a' in b == True", "cannot be chained"),
    ("a chain of is", "a is None is None", "cannot be chained"),
    # Signs.
    ("nothing", "", "it is empty"),
    ("only blanks", " \t\n ", "it is empty"),
    ("a null byte", "a\x00 == 1", r"'\x00' " + _SIGN),
    ("a null byte in a text", "a == '\x00'", "does not show"),
    ("a surrogate", "\ud800 == 1", r"'\ud800' " + _SIGN),
    ("a surrogate in a text", "a == '\udfff'", "does not show"),
    ("a name that NFKC makes payload", "\uff50ayload == 1", _SIGN),
    ("a name with a Cyrillic letter", "\u0440ayload == 1", _SIGN),
    ("ligatures that NFKC makes import", "__\ufb01le__ == 1", _SIGN),
    ("a direction override in a text", "a == 'x\u202e' or b", "does not show"),
    ("a zero width space in a text", "a == 'admin\u200b'", "does not show"),
    ("a zero width joiner in a name", "pay\u200dload == 1", _SIGN),
    ("a no-break space", "a\u00a0== 1", _SIGN),
    ("a line separator", "a\u2028== 1", _SIGN),
    ("a form feed", "a\x0c== 1", _SIGN),
    ("a carriage return", "a ==\r 1", _SIGN),
    ("a byte order mark", "\ufeffa == 1", _SIGN),
    ("digits of another script", "a == \u0661", _SIGN),
    ("a full-width comparison", "a \uff1d\uff1d 1", _SIGN),
    ("typographic quotes", "a == \u2018b\u2019", _SIGN),
    ("a tag character", "a\U000e0041 == 1", _SIGN),
    ("a comment that hides", "a == 1 # or b", _SIGN),
    ("an encoding comment", "# -*- coding: utf-7 -*-\na", _SIGN),
    ("a line joined", "a == \\\n1", _SIGN),
    ("a text over two lines", "a == 'b\nc'", "does not end in its line"),
    ("a text without an end", "a == 'b", "does not end in its line"),
    ("a shell", "$(true)", "no expression"),
    ("a template", "${a}", "no expression"),
    ("C", "a && !b || c", "no expression"),
    # Brackets and chains that exhaust a parser.
    ("open brackets", "(" * MAX_CHARACTERS, _DEEP),
    ("brackets", "(" * 150 + "a" + ")" * 150, _DEEP),
    ("lists", "[" * 99 + "]" * 99, _DEEP),
    ("objects", "{'a':" * 99 + "1" + "}" * 99, _DEEP),
    ("subscripts in subscripts", "a[" * 99 + "0" + "]" * 99, _DEEP),
    ("calls in calls", "a.get(" * 99 + "'a'" + ")" * 99, _DEEP),
    ("closed before opened", ")" * 300 + "(" * 300, _TOKENS),
    ("one bracket too many", "(a))", "no expression"),
    ("the wrong bracket", "(a]", "no expression"),
    ("not not not", "not " * 400 + "a", _DEEP),
    ("minus minus", "-" * 499 + "1", _ARITHMETIC),
    ("flips", "~" * MAX_CHARACTERS, _TOKENS),
    ("powers", "a" + "**a" * 160, _ARITHMETIC),
    ("lambdas", "lambda:" * 249 + "a", "a lambda"),
    ("branches", "a if b else " * 120 + "c", "'if'"),
    ("attributes", "a" + ".a" * 249, "attribute .a"),
    ("subscripts of subscripts", "a" + "[0]" * 160, _DEEP),
    ("gets of gets", "a" + ".get('a')" * 70, _DEEP),
    ("comparisons in a chain", "a" + "<a" * MAX_NODES, "more than 200 parts"),
    ("alternatives", " or ".join(["a"] * 210), "more than 200 parts"),
    ("a long list", f"a in [{'1,' * 220}]", "more than 200 parts"),
    ("a long text", "'" + "a" * MAX_CHARACTERS, "2001 characters, at most 2000"),
    ("a huge text", "a" * 10_000_000, "10000000 characters, at most 2000"),
    ("a huge number", "9" * 5_000, "5000 characters, at most 2000"),
]


class Trap:
    """An object that counts each attempt to have its code run, and gives it trouble."""

    sprung = 0

    def _spring(self, *_: Any) -> Any:
        Trap.sprung += 1
        raise SystemExit("foreign code was run")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _spring
    __hash__ = __bool__ = __len__ = __iter__ = __contains__ = _spring
    __getitem__ = __getattr__ = __repr__ = __str__ = __int__ = _spring
    __float__ = __index__ = __sizeof__ = __format__ = _spring
    get = startswith = endswith = _spring


class TrapText(str):
    """A text by its class, whose methods are traps."""

    __slots__ = ()
    __eq__ = __ne__ = __lt__ = __gt__ = Trap._spring
    __hash__ = __contains__ = __len__ = Trap._spring
    __getitem__ = __str__ = __sizeof__ = Trap._spring
    startswith = endswith = Trap._spring


class TrapNumber(int):
    """A number by its class, whose methods are traps."""

    __eq__ = __lt__ = __gt__ = __bool__ = Trap._spring
    __hash__ = __int__ = __index__ = __sizeof__ = Trap._spring


class TrapObject(dict):  # type: ignore[type-arg]
    """A dict by its class, whose methods are traps."""

    __getitem__ = __contains__ = __missing__ = Trap._spring
    __eq__ = __iter__ = __len__ = __bool__ = Trap._spring
    get = keys = items = Trap._spring


class TrapList(list):  # type: ignore[type-arg]
    """A list by its class, whose methods are traps."""

    __getitem__ = __contains__ = __len__ = __bool__ = Trap._spring
    __eq__ = __iter__ = Trap._spring


_OVER = f"more than {MAX_WORK} values would have to be looked at"
_NESTED = f"a value is nested more than {MAX_DATA_DEPTH} deep"
_FOREIGN = "is no JSON value"


def _ladder(levels: int) -> list[Any]:
    """Return a list that is small, and huge for those who count what is in it."""
    value: list[Any] = ["a"]
    for _ in range(levels):
        value = [value, value]
    return value


def _well(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


_LOOP: list[Any] = []
_LOOP.append(_LOOP)
_MANY = list(range(MAX_WORK + 1))
_LONG = "a" * 1_000_000
_KEYS = {f"k{n}": n for n in range(MAX_WORK)}

BOUNDED: list[tuple[str, str, dict[str, Any], str | None]] = [
    # Expensive.
    ("a long list searched", "'a' in x", {"x": _MANY}, _OVER),
    ("for data", "y in x", {"x": _MANY, "y": "a"}, _OVER),
    ("for the absence", "'a' not in x", {"x": _MANY}, _OVER),
    (
        "many searches that are short each",
        " or ".join(["'a' in x"] * 60),
        {"x": _MANY[:500]},
        _OVER,
    ),
    ("long lists compared", "x == y", {"x": _MANY, "y": [*_MANY]}, _OVER),
    ("long lists ordered", "x < y", {"x": _MANY, "y": [*_MANY]}, _OVER),
    ("one list, compared with itself", "x == x == x", {"x": _MANY}, _OVER),
    ("in a list of constants", "[x] == [y]", {"x": _MANY, "y": [*_MANY]}, _OVER),
    ("in an object", "{'a': x} == {'a': y}", {"x": _MANY, "y": [*_MANY]}, _OVER),
    ("as a default", "p.get('a', x) == x", {"p": {}, "x": _MANY}, _OVER),
    ("by or", "(x or y) == y", {"x": [], "y": _MANY}, _OVER),
    ("large objects compared", "x == y", {"x": _KEYS, "y": {**_KEYS}}, _OVER),
    ("a list in many lists", "x in y", {"x": [1] * 99, "y": [[1] * 98] * 999}, _OVER),
    ("each list the same list", "x in y", {"x": _MANY, "y": [_MANY] * 9}, _OVER),
    (
        "a small list that is huge when counted",
        "x == y",
        {"x": _ladder(40), "y": _ladder(40)},
        _OVER,
    ),
    ("and is searched", "y in x", {"x": _ladder(40), "y": ["b"]}, _OVER),
    ("a deep list", "x == y", {"x": _well(99_000), "y": 1}, _NESTED),
    ("deep lists ordered", "x < y", {"x": _well(99_000), "y": _well(99_000)}, _NESTED),
    ("a deep list searched", "[] in x", {"x": _well(99_000)}, _NESTED),
    ("a list in itself", "x == y", {"x": _LOOP, "y": [_LOOP]}, _NESTED),
    ("a list in itself, searched", "[] in x", {"x": _LOOP}, _NESTED),
    ("a long text searched", "'b' in x", {"x": _LONG}, _OVER),
    ("for a long text", "y in x", {"x": "b", "y": _LONG}, _OVER),
    (
        "the worst case of a search, again and again",
        " or ".join([f"'{'a' * 20}b' in x"] * 60),
        {"x": "a" * 60_000},
        _OVER,
    ),
    ("long texts compared", "x == y", {"x": _LONG, "y": _LONG + ""}, _OVER),
    ("a long text's start", "x.startswith(y)", {"x": "a", "y": _LONG}, _OVER),
    ("a long text's end", "x.endswith(y)", {"x": "a", "y": _LONG}, _OVER),
    ("a long text as key", "p.get(x)", {"p": {}, "x": _LONG}, _OVER),
    ("a long text as subscript", "p[x]", {"p": {}, "x": _LONG}, _OVER),
    ("a long text in an object", "x in p", {"p": {}, "x": _LONG}, _OVER),
    ("long texts in a list", "x in y", {"x": "a" * 9_999, "y": ["b"] * 9_999}, _OVER),
    ("huge numbers", "x == y", {"x": 10**2_000_000, "y": 1}, _OVER),
    ("a huge number as key", "p[x]", {"p": {}, "x": 10**2_000_000}, _OVER),
    # Bounded by themselves.
    ("a long list, not looked at", "x or y", {"x": _MANY}, None),
    ("its length", "len(x) == 1", {"x": _MANY}, None),
    ("its last item", "x[-1] == 'a'", {"x": _MANY}, None),
    ("a large object's key", "x.get('a') == 1", {"x": _KEYS}, None),
    ("a key in a large object", "'a' in x", {"x": _KEYS}, None),
    ("a long text and a constant", "x == 'a' or x < 'A'", {"x": _LONG}, None),
    ("a huge number and a constant", "x == 1 or x < 1.5", {"x": 10**2_000_000}, None),
    (
        "a name of the language's own",
        "v == b or name",
        {"v": 1, "b": 2, "name": 0},
        None,
    ),
    ("builtins by name", "__builtins__ == 1", {}, "there is no '__builtins__'"),
    ("a function's own name", "get == whole", {}, "there is no 'get'"),
    # Foreign code in the values.
    ("a trap", "x", {"x": Trap()}, _FOREIGN),
    ("a trap asked to be equal", "x == 'a'", {"x": Trap()}, _FOREIGN),
    ("from the right", "'a' == x", {"x": Trap()}, _FOREIGN),
    ("a trap asked for a key", "x['a'] == 1", {"x": Trap()}, _FOREIGN),
    ("a trap asked to get", "x.get('a') == 1", {"x": Trap()}, _FOREIGN),
    ("a trap asked what it holds", "'a' in x", {"x": Trap()}, _FOREIGN),
    ("a trap asked for its size", "len(x) == 1", {"x": Trap()}, _FOREIGN),
    ("a trap asked for its start", "x.startswith('a')", {"x": Trap()}, _FOREIGN),
    ("a trap in an object", "x.get('a') == 1", {"x": {"a": Trap()}}, _FOREIGN),
    ("a trap in a list", "'a' in x", {"x": ["b", Trap()]}, _FOREIGN),
    ("a trap in lists compared", "x == y", {"x": [Trap()], "y": [Trap()]}, _FOREIGN),
    ("a trap compared with a constant's list", "x == ['a']", {"x": [Trap()]}, _FOREIGN),
    ("a trap as a key, compared", "x == y", {"x": {5: 1}, "y": {5: Trap()}}, _FOREIGN),
    ("a trap as key asked for", "p.get(x)", {"x": Trap(), "p": {}}, _FOREIGN),
    ("a trap that is a text", "x == 'a'", {"x": TrapText("b")}, None),
    ("and is searched", "'a' in x", {"x": TrapText("b")}, None),
    ("and is a key", "p.get(x) == 1", {"x": TrapText("b"), "p": {"a": 1}}, None),
    ("and is in a list", "'a' in x", {"x": [TrapText("b")]}, None),
    ("and has a start", "x.startswith('a')", {"x": TrapText("b")}, None),
    ("a trap that is a number", "x == 1 or x > 5", {"x": TrapNumber(2)}, None),
    ("and is in an object", "x == y", {"x": {"a": TrapNumber(2)}, "y": {}}, None),
    ("a trap that is a dict", "x.get('a')", {"x": TrapObject(a=1)}, _FOREIGN),
    ("and is nested", "x == {}", {"x": {"a": TrapObject(a=1)}}, _FOREIGN),
    ("a trap that is a list", "'a' in x", {"x": TrapList("a")}, _FOREIGN),
    ("and is nested", "x == y", {"x": [TrapList("a")], "y": []}, _FOREIGN),
]
