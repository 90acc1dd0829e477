"""The SQL that the engine speaks, as trees: owns the grammar and evaluates nothing.

It knows no more than the engine's statements use. Whatever it does not know it refuses, so a statement that changes its
shape is noticed instead of being read wrongly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

# An expression is a tuple that begins with its kind: ("column", alias or None, name), ("call", name, arguments), ...
Expression = tuple[Any, ...]

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<string>'(?:[^']|'')*')|(?P<parameter>%\(\w+\)s|%s)|(?P<word>[A-Za-z_]\w*)
    |(?P<sign>::|\|\||<>|<=|>=|[-+*/^=<>()\[\],.]))""",
    re.VERBOSE,
)
_COMPARISONS = frozenset({"=", "<>", "<", ">", "<=", ">="})


class UnknownSQL(Exception):
    """A statement uses something that the abstract database does not have."""


@dataclass(frozen=True)
class Source:
    """One entry of FROM: a table, `unnest(..)` with its columns, or a query, under an alias."""

    alias: str
    table: str = ""
    unnest: tuple[Expression, ...] = ()
    columns: tuple[str, ...] = ()
    query: Select | None = None


@dataclass(frozen=True)
class Select:
    items: tuple[tuple[Expression, str], ...]
    sources: tuple[Source, ...] = ()
    where: Expression | None = None
    order: tuple[tuple[Expression, bool], ...] = ()
    limit: Expression | None = None
    lock: str = ""  # "", "wait" or "skip"
    distinct: bool = False
    distinct_on: tuple[Expression, ...] = ()
    queries: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Update:
    table: str
    alias: str
    sets: tuple[tuple[str, Expression], ...]
    sources: tuple[Source, ...]
    where: Expression | None
    returning: tuple[tuple[Expression, str], ...]
    queries: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Insert:
    table: str
    alias: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Expression, ...], ...]
    select: Select | None
    conflict: str  # "", "nothing" or "update"
    target: tuple[str, ...]
    sets: tuple[tuple[str, Expression], ...]
    where: Expression | None
    returning: tuple[tuple[Expression, str], ...]
    queries: tuple[tuple[str, Any], ...] = ()


Statement = Select | Update | Insert


def parse(text: str) -> Statement:
    """The tree of one statement. Raises UnknownSQL."""
    parser = _Parser(text)
    statement = parser.statement()
    parser.end()
    return statement


def parse_expression(text: str) -> Expression:
    """The tree of one expression, as a CHECK or a DEFAULT has it. Raises UnknownSQL."""
    parser = _Parser(text)
    expression = parser.expression()
    parser.end()
    return expression


@dataclass
class _Parser:
    text: str
    _tokens: list[tuple[str, str]] = field(default_factory=list)
    _at: int = 0
    _parameters: int = 0

    def __post_init__(self) -> None:
        text, at = self.text.replace("%%", "%").rstrip().rstrip(";"), 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise UnknownSQL(f"{text[at : at + 20]!r} in {self.text}")
            kind = str(found.lastgroup)
            self._tokens.append((kind, found[kind]))
            at = found.end()

    # --- tokens

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise self._unknown()

    def _unknown(self) -> UnknownSQL:
        here = " ".join(value for _, value in self._tokens[self._at : self._at + 5])
        return UnknownSQL(f"{here!r} in {self.text}")

    def _peek(self, *words: str) -> bool:
        """Whether these words or signs come next."""
        for offset, word in enumerate(words):
            at = self._at + offset
            if at >= len(self._tokens) or self._tokens[at][0] == "string" or self._tokens[at][1].upper() != word:
                return False
        return True

    def _accept(self, *words: str) -> bool:
        if self._peek(*words):
            self._at += len(words)
            return True
        return False

    def _expect(self, *words: str) -> None:
        if not self._accept(*words):
            raise self._unknown()

    def _take(self, kind: str) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == kind:
            self._at += 1
            return self._tokens[self._at - 1][1]
        raise self._unknown()

    def _name(self) -> str:
        return self._take("word").lower()

    def _alias(self, reserved: frozenset[str]) -> str:
        if self._accept("AS"):
            return self._name()
        at_word = self._at < len(self._tokens) and self._tokens[self._at][0] == "word"
        return "" if not at_word or self._tokens[self._at][1].upper() in reserved else self._name()

    # --- statements

    def statement(self) -> Statement:
        queries: list[tuple[str, Any]] = []
        if self._accept("WITH"):
            while True:
                name = self._name()
                self._expect("AS")
                self._accept("MATERIALIZED")
                self._expect("(")
                queries.append((name, self.statement()))
                self._expect(")")
                if not self._accept(","):
                    break
        if self._peek("SELECT"):
            return self._select(tuple(queries))
        if self._accept("UPDATE"):
            return self._update(tuple(queries))
        if self._accept("INSERT", "INTO"):
            return self._insert(tuple(queries))
        raise self._unknown()

    def _select(self, queries: tuple[tuple[str, Any], ...] = ()) -> Select:
        self._expect("SELECT")
        distinct = False
        distinct_on: tuple[Expression, ...] = ()
        if self._accept("DISTINCT", "ON"):
            distinct_on = self._list_in_brackets()
        elif self._accept("DISTINCT"):
            distinct = True
        items = () if self._peek("FROM") else self._items()
        sources: list[Source] = []
        conditions: list[Expression] = []
        if self._accept("FROM"):
            self._from(sources, conditions)
        if self._accept("WHERE"):
            conditions.append(self.expression())
        order: list[tuple[Expression, bool]] = []
        if self._accept("ORDER", "BY"):
            while True:
                key = self.expression()
                order.append((key, self._accept("DESC")))
                if not self._accept(","):
                    break
        limit = self.expression() if self._accept("LIMIT") else None
        lock = ""
        if self._accept("FOR", "UPDATE"):
            lock = "skip" if self._accept("SKIP", "LOCKED") else "wait"
        return Select(
            items, tuple(sources), _all_of(conditions), tuple(order), limit, lock, distinct, distinct_on, queries
        )

    def _update(self, queries: tuple[tuple[str, Any], ...]) -> Update:
        table = self._name()
        alias = self._alias(frozenset({"SET"})) or table
        self._expect("SET")
        sets = self._sets()
        sources: list[Source] = []
        conditions: list[Expression] = []
        if self._accept("FROM"):
            self._from(sources, conditions)
        if self._accept("WHERE"):
            conditions.append(self.expression())
        return Update(table, alias, sets, tuple(sources), _all_of(conditions), self._returning(), queries)

    def _insert(self, queries: tuple[tuple[str, Any], ...]) -> Insert:
        table = self._name()
        alias = self._name() if self._accept("AS") else table
        self._expect("(")
        columns = self._names()
        self._expect(")")
        rows: list[tuple[Expression, ...]] = []
        select = None
        if self._accept("VALUES"):
            rows.append(self._list_in_brackets())
            while self._accept(","):
                rows.append(self._list_in_brackets())
        else:
            select = self._select()
        conflict = ""
        target: tuple[str, ...] = ()
        sets: tuple[tuple[str, Expression], ...] = ()
        where = None
        if self._accept("ON", "CONFLICT"):
            if self._accept("("):
                target = self._names()
                self._expect(")")
            self._expect("DO")
            conflict = "nothing" if self._accept("NOTHING") else "update"
            if conflict == "update":
                self._expect("UPDATE", "SET")
                sets = self._sets()
                where = self.expression() if self._accept("WHERE") else None
        returning = self._returning()
        return Insert(table, alias, columns, tuple(rows), select, conflict, target, sets, where, returning, queries)

    def _sets(self) -> tuple[tuple[str, Expression], ...]:
        sets = []
        while True:
            name = self._name()
            self._expect("=")
            sets.append((name, self.expression()))
            if not self._accept(","):
                return tuple(sets)

    def _returning(self) -> tuple[tuple[Expression, str], ...]:
        return self._items() if self._accept("RETURNING") else ()

    def _names(self) -> tuple[str, ...]:
        names = [self._name()]
        while self._accept(","):
            names.append(self._name())
        return tuple(names)

    def _items(self) -> tuple[tuple[Expression, str], ...]:
        items = []
        while True:
            expression: Expression = ("star", None) if self._accept("*") else self.expression()
            name = self._name() if self._accept("AS") else _name_of(expression)
            items.append((expression, name))
            if not self._accept(","):
                return tuple(items)

    def _from(self, sources: list[Source], conditions: list[Expression]) -> None:
        sources.append(self._source())
        while True:
            if self._accept(","):
                sources.append(self._source())
            elif self._accept("JOIN"):
                sources.append(self._source())
                self._expect("ON")
                conditions.append(self.expression())
            else:
                return

    def _source(self) -> Source:
        reserved = frozenset({"WHERE", "JOIN", "ON", "ORDER", "LIMIT", "FOR", "RETURNING", "SET"})
        if self._accept("("):
            query = self._select()
            self._expect(")")
            return Source(self._alias(reserved), query=query)
        name = self._name()
        if name == "unnest":
            arrays = self._list_in_brackets()
            alias = self._alias(reserved)
            columns: tuple[str, ...] = (alias,)
            if self._accept("("):
                columns = self._names()
                self._expect(")")
            return Source(alias, unnest=arrays, columns=columns)
        return Source(self._alias(reserved) or name, table=name)

    def _list_in_brackets(self) -> tuple[Expression, ...]:
        self._expect("(")
        if self._accept(")"):
            return ()
        values = [self.expression()]
        while self._accept(","):
            values.append(self.expression())
        self._expect(")")
        return tuple(values)

    # --- expressions, from the loosest binding to the tightest

    def expression(self) -> Expression:
        left = self._and()
        while self._accept("OR"):
            left = ("or", left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._not()
        while self._accept("AND"):
            left = ("and", left, self._not())
        return left

    def _not(self) -> Expression:
        return ("not", self._not()) if self._accept("NOT") else self._is()

    def _is(self) -> Expression:
        left = self._comparison()
        while self._accept("IS"):
            negated = self._accept("NOT")
            if self._accept("DISTINCT", "FROM"):
                left = ("same" if negated else "differs", left, self._comparison())
            else:
                self._expect("NULL")
                left = ("not", ("is null", left)) if negated else ("is null", left)
        return left

    def _comparison(self) -> Expression:
        left = self._joined()
        for sign in _COMPARISONS:
            if self._accept(sign):
                if self._accept("ANY"):
                    self._expect("(")
                    values = self.expression()
                    self._expect(")")
                    return ("any", sign, left, values)
                return ("compare", sign, left, self._joined())
        if self._accept("BETWEEN"):
            lowest = self._joined()
            self._expect("AND")
            return ("and", ("compare", ">=", left, lowest), ("compare", "<=", left, self._joined()))
        if self._accept("IN"):
            return ("in", left, self._list_in_brackets())
        return left

    def _joined(self) -> Expression:
        left = self._sum()
        while self._accept("||"):
            left = ("join", left, self._sum())
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while self._peek("+") or self._peek("-"):
            sign = self._take("sign")
            left = ("sum" if sign == "+" else "difference", left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._power()
        while self._accept("*"):
            left = ("product", left, self._power())
        return left

    def _power(self) -> Expression:
        left = self._cast()
        while self._accept("^"):
            left = ("power", left, self._cast())
        return left

    def _cast(self) -> Expression:
        left = self._primary()
        while self._accept("::"):
            name = self._name()
            while self._accept("["):
                self._expect("]")
                name += "[]"
            left = ("cast", left, name)
        return left

    def _primary(self) -> Expression:  # noqa: C901, PLR0911, PLR0912  one way to begin per line
        kind, value = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if kind == "sign":
            if self._accept("-"):
                return ("difference", ("value", 0), self._cast())
            self._expect("(")
            inner: Expression = ("query", self._select()) if self._peek("SELECT") else self.expression()
            self._expect(")")
            return inner
        self._at += 1
        if kind == "number":
            return ("value", float(value) if "." in value else int(value))
        if kind == "string":
            return ("value", value[1:-1].replace("''", "'"))
        if kind == "parameter":
            return self._parameter(value)
        word = value.upper()
        if word in {"TRUE", "FALSE", "NULL"}:
            return ("value", {"TRUE": True, "FALSE": False, "NULL": None}[word])
        if word == "CASE":
            return self._case()
        if word == "EXISTS":
            self._expect("(")
            query = self._select()
            self._expect(")")
            return ("exists", query)
        if word == "EXTRACT":
            self._expect("(", "EPOCH", "FROM")
            inner = self.expression()
            self._expect(")")
            return ("call", "extract_epoch", (inner,))
        if word == "INTERVAL":
            return ("interval", self._take("string")[1:-1])
        if self._peek("("):
            return ("call", value.lower(), self._list_in_brackets())
        if self._accept("."):
            if self._accept("*"):
                return ("star", value.lower())
            return ("column", value.lower(), self._name())
        return ("column", None, value.lower())

    def _parameter(self, value: str) -> Expression:
        if value != "%s":
            return ("parameter", value[2:-2])
        self._parameters += 1
        return ("parameter", self._parameters - 1)

    def _case(self) -> Expression:
        branches = []
        while self._accept("WHEN"):
            condition = self.expression()
            self._expect("THEN")
            branches.append((condition, self.expression()))
        otherwise: Expression = self.expression() if self._accept("ELSE") else ("value", None)
        self._expect("END")
        return ("case", tuple(branches), otherwise)


def _all_of(conditions: list[Expression]) -> Expression | None:
    if not conditions:
        return None
    whole = conditions[0]
    for condition in conditions[1:]:
        whole = ("and", whole, condition)
    return whole


def _name_of(expression: Expression) -> str:
    if expression[0] == "column":
        return str(expression[2])
    if expression[0] == "cast":
        return _name_of(expression[1])
    return str(expression[1]) if expression[0] == "call" else "?column?"
