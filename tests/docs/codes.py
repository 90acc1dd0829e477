"""Reads the stable codes of refusals and failures out of the source. Judges nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache

from tests.docs.reading import ROOT

PACKAGES = ("dispatchlog", "dashboard", "tasks")
# What takes a `code` that is no error's: a pharmacy's own, a language's.
_OTHERS = {"PharmacyInput", "Language"}
# Whom a code is given without its name, and as which argument.
_PLACES = {
    "ApiError": 0,
    "Fault": 1,
    "Problem": 0,
    "PydanticCustomError": 0,
    "Refusal": 0,
    "_Failed": 1,
    "_Refused": 0,
    "_error": 1,
    "_in_state": 2,
    "_no": 0,
    "_nothing_sent": 0,
    "_refusal": 0,
    "_unknown": 0,
    "add": 1,
    "error_answer": 0,
    "refused": 1,
}
_CODE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_?")
_STAND_IN = re.compile(r"fake|sandbox|exchange")  # plays a provider; what it answers is no code of ours


@cache
def raised_codes() -> Mapping[str, str]:
    """Each code with a file in which it stands; one that ends in a number begins there: `HTTP_`."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if _STAND_IN.search(path.name):
                continue
            tree = ast.parse(path.read_text("utf-8"))
            constants = dict(_constants(tree))
            for node in ast.walk(tree):
                for code in _codes(node, constants):
                    found.setdefault(code, str(path.relative_to(ROOT)))
    return found


def _codes(node: ast.AST, constants: dict[str, str]) -> Iterator[str]:
    """Of a class that names its code, and of a call that is given one."""
    if isinstance(node, ast.ClassDef):
        yield from (code for name, code in _constants(node) if name == "code")
    if isinstance(node, ast.Call) and (callee := _name(node.func)) not in _OTHERS:
        place = _PLACES.get(callee, len(node.args))
        named = [given.value for given in node.keywords if given.arg == "code"]
        for value in [*named, *node.args[place : place + 1]]:
            yield from _texts(value, constants)


def _texts(value: ast.expr, constants: dict[str, str]) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(text)) if _CODE.fullmatch(text):
            yield text
        case ast.Name(id=name) if name in constants:
            yield constants[name]
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]) if _CODE.fullmatch(text):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one, constants)
            yield from _texts(other, constants)
        case ast.BoolOp(values=values):
            for each in values:
                yield from _texts(each, constants)


def _constants(within: ast.Module | ast.ClassDef) -> Iterator[tuple[str, str]]:
    """What stands there under a name of its own and looks like a code."""
    for line in within.body:
        match line:
            case ast.Assign(targets=[ast.Name() as name], value=ast.Constant() as value):
                pairs = [(name, value)]
            case ast.AnnAssign(target=ast.Name() as name, value=ast.Constant() as value):
                pairs = [(name, value)]
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = list(zip(names, values, strict=True))
            case _:
                pairs = []
        for name, value in pairs:
            match name, value:
                case ast.Name(id=word), ast.Constant(value=str(text)) if _CODE.fullmatch(text):
                    yield word, text


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
