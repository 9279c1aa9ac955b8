"""Random conditions of the rule language over given facts and parameters: whatever the profile admits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from msgspec import Struct

from backend.rulebook.language.types import Type, fields_of

SIGNS = ("<", "<=", ">", ">=", "==", "!=")
NUMBERS = (0, 0, 1, 1, 2, 3, 5, 7, 10, 18, 60, 70, 100, -1, 365, 10_000)
DOUBLES = ("0.5", "2.0", "-1.0", "0.0", "1e3", "100.25")
SPANS = ("0s", "1h", "24h", "168h", "1h30m", "-5m", "0.000001s", "8760h", "26280h")
INSTANTS = (
    "2020-01-01T00:00:00+08:00", "2024-02-29T00:00:00+08:00", "2023-12-31T23:59:59.999999Z",
    "1986-05-04T00:30:00+08:00", "2024-03-10T07:30:00Z", "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.5Z", "1960-06-01T12:00:00-03:30",
)  # fmt: skip
TEXTS = ("", "a", "b", "IT", "浙江", "东-1", "z.z")
PATTERNS = ("^a", "b$", "^[A-Z]+$", "浙", ".", "^$", "(a|b)+")
ZONES = ("'Asia/Shanghai'", "'America/New_York'", "'+05:30'", "'-08:00'", "'UTC'", "")
PARTS = ("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours",
         "getMinutes", "getSeconds", "getMilliseconds")  # fmt: skip
SPAN_PARTS = ("getHours", "getMinutes", "getSeconds", "getMilliseconds")
MAX_NESTED = 3


@dataclass(frozen=True)
class Scope:
    """What a condition may read: Structs and values by their names, and the optional facts known to be there."""

    structs: Mapping[str, type[Struct]]
    values: Mapping[str, Type]
    present: frozenset[str] = frozenset()
    nested: int = 0

    def readable(self) -> list[tuple[str, Type]]:
        """Return the values that may be read without a guard."""
        found = list(self.values.items())
        for name, struct in self.structs.items():
            found += self._within(name, struct)
        return found

    def _within(self, name: str, struct: type[Struct]) -> list[tuple[str, Type]]:
        found: list[tuple[str, Type]] = []
        for own, held in fields_of(struct).items():
            path = f"{name}.{own}"
            if held.optional and path not in self.present:
                continue
            found += self._within(path, held.type.struct) if held.type.struct is not None else [(path, held.type)]
        return found

    def absent(self) -> list[str]:
        """Return the optional facts that need a guard."""
        found: list[str] = []
        todo = list(self.structs.items())
        while todo:
            name, struct = todo.pop()
            for own, held in fields_of(struct).items():
                path = f"{name}.{own}"
                if held.optional and path not in self.present:
                    found.append(path)
                elif held.type.struct is not None:
                    todo.append((path, held.type.struct))
        return found

    def knowing(self, path: str) -> "Scope":
        """Return the scope in which an optional fact is there."""
        return replace(self, present=self.present | {path})


@dataclass
class Conditions:
    """Draws conditions; `pool` are the parameters by name."""

    random: Random
    pool: Mapping[str, Type]
    names: Sequence[str] = ("x", "y", "e1", "e2", "t1", "each")

    def chance(self, share: float) -> bool:
        """Return true for this share of calls."""
        return self.random.random() < share

    def read(self, scope: Scope, kind: str) -> str | None:
        """Return a fact or parameter of a kind, or None if there is none."""
        known = [*scope.readable(), *self.pool.items()]
        found = [name for name, held in known if held.kind == kind and held.struct is None]
        return self.random.choice(found) if found else None

    # ── truth values ──

    def truth(self, scope: Scope, depth: int) -> str:
        """Return a condition."""
        if depth <= 0:
            return self.atom(scope)
        match self.random.randrange(12):
            case 0 | 1:
                return f"({self.truth(scope, depth - 1)} && {self.truth(scope, depth - 1)})"
            case 2 | 3:
                return f"({self.truth(scope, depth - 1)} || {self.truth(scope, depth - 1)})"
            case 4:
                return f"!({self.truth(scope, depth - 1)})"
            case 5:
                parts = [self.truth(scope, depth - 1) for _ in range(3)]
                return "({} ? {} : {})".format(*parts)
            case 6 | 7 if scope.absent():
                return self.guarded(scope, depth)
            case 8 | 9 | 10:
                return self.over_list(scope, depth) or self.atom(scope)
            case _:
                return self.atom(scope)

    def guarded(self, scope: Scope, depth: int) -> str:
        """Return a condition that tests an optional fact first."""
        path = self.random.choice(scope.absent())
        inner = scope.knowing(path)
        match self.random.randrange(6):
            case 0:
                return f"has({path})"
            case 1:
                return f"(!has({path}) || {self.truth(inner, depth - 1)})"
            case 2:
                return f"(has({path}) ? {self.truth(inner, depth - 1)} : {self.truth(scope, depth - 1)})"
            case 3:
                return f"(has({path}) && {self.truth(inner, depth - 1)} && {self.truth(inner, depth - 1)})"
            case _:
                return f"(has({path}) && {self.truth(inner, depth - 1)})"

    def over_list(self, scope: Scope, depth: int) -> str | None:
        """Return a test of the elements of a list, or None if there is no list."""
        source = self.records(scope, depth)
        if source is None or scope.nested == MAX_NESTED:
            return None
        text, element = source
        name, inner = self.within(scope, element)
        test = self.truth(inner, depth - 1)
        match self.random.randrange(8):
            case 0 | 1 | 2:
                return f"{text}.exists({name}, {test})"
            case 3:
                return f"{text}.all({name}, {test})"
            case 4:
                return f"{text}.exists_one({name}, {test})"
            case 5:
                return f"size({text}.filter({name}, {test})) {self.sign()} {self.random.randint(0, 3)}"
            case 6:
                return f"{text} {self.random.choice(['==', '!='])} []"
            case _:
                value = self.number(inner, 1)
                over = f"{text}.map({name}, {value})"
                if self.chance(0.5):
                    over = f"{text}.map({name}, {test}, {value})"
                return f"{over}.exists(v{name}, v{name} {self.sign()} {self.literal_number()})"

    def within(self, scope: Scope, element: Type) -> tuple[str, Scope]:
        """Return a new variable, and the scope in which it is bound to an element."""
        taken = {*scope.structs, *scope.values, *self.pool}
        free = [name for name in self.names if name not in taken and f"v{name}" not in taken]
        name = self.random.choice(free)
        deeper = replace(scope, nested=scope.nested + 1)
        if element.struct is not None:
            return name, replace(deeper, structs={**scope.structs, name: element.struct})
        return name, replace(deeper, values={**scope.values, name: element})

    def records(self, scope: Scope, depth: int) -> tuple[str, Type] | None:
        """Return a list and the type of its elements, or None."""
        found = [
            (name, held.element)
            for name, held in [*scope.readable(), *self.pool.items()]
            if held.kind == "list" and held.element is not None
        ]
        if not found:
            return None
        text, element = self.random.choice(found)
        if depth > 1 and scope.nested < MAX_NESTED - 1 and self.chance(0.25):
            name, inner = self.within(scope, element)
            text = f"{text}.filter({name}, {self.truth(inner, 1)})"
            if self.chance(0.2):
                text = f"({text} + {self.random.choice(found)[0]})" if len(found) == 1 else text
        elif self.chance(0.1):
            text = f"({self.truth(scope, 0)} ? {text} : [])"
        return text, element

    def atom(self, scope: Scope) -> str:
        """Return a condition without parts that are conditions."""
        makers = (self.compared_numbers, self.compared_numbers, self.of_now, self.of_now, self.compared_texts,
                  self.compared_texts, self.compared_instants, self.compared_doubles, self.of_spans,
                  self.members)  # fmt: skip
        for _ in range(6):
            truth = self.read(scope, "bool")
            if truth is not None and self.chance(0.15):
                return truth
            made = self.random.choice(makers)(scope)
            if made is not None:
                return made
        return self.random.choice(["true", "1 < 2", 'now >= timestamp("2024-01-01T00:00:00Z")'])

    def sign(self) -> str:
        """Return a sign of comparison."""
        return self.random.choice(SIGNS)

    # ── numbers ──

    def literal_number(self) -> str:
        """Return a whole number as written."""
        return str(self.random.choice(NUMBERS))

    def number(self, scope: Scope, depth: int) -> str:
        """Return a whole number."""
        random = self.random
        leaf = self.read(scope, "int")
        if depth <= 0 or self.chance(0.3):
            return leaf if leaf is not None and self.chance(0.7) else self.literal_number()
        match random.randrange(9):
            case 0 | 1:
                return f"({self.number(scope, depth - 1)} {random.choice('+-*')} {self.number(scope, depth - 1)})"
            case 2:
                return f"({self.number(scope, depth - 1)} {random.choice('/%')} {random.choice([2, 3, 7, -2, 12])})"
            case 3:
                return f"-({self.number(scope, depth - 1)})"
            case 4:
                chosen, other = self.number(scope, depth - 1), self.number(scope, depth - 1)
                return f"({self.truth(scope, 0)} ? {chosen} : {other})"
            case 5:
                return self.size(scope) or self.literal_number()
            case 6 | 7:
                return self.part(scope) or self.literal_number()
            case _:
                return self.years(scope) or self.literal_number()

    def size(self, scope: Scope) -> str | None:
        """Return the size of a text or list."""
        source = self.records(scope, 0)
        text = source[0] if source is not None and self.chance(0.7) else self.read(scope, "string")
        return None if text is None else f"size({text})"

    def part(self, scope: Scope) -> str | None:
        """Return a part of an instant or duration."""
        at, span = self.read(scope, "timestamp"), self.read(scope, "duration")
        if span is not None and self.chance(0.4):
            return f"{span}.{self.random.choice(SPAN_PARTS)}()"
        if at is None:
            return None
        if self.chance(0.2):
            return f"int({at})"
        return f"{at}.{self.random.choice(PARTS)}({self.random.choice(ZONES)})"

    def years(self, scope: Scope) -> str | None:
        """Return the years between two instants."""
        since = self.read(scope, "timestamp")
        return None if since is None else f"age({since}, {self.instant(scope)})"

    def compared_numbers(self, scope: Scope) -> str | None:
        """Return a comparison of whole numbers."""
        if self.read(scope, "int") is None and not self.chance(0.3):
            return None
        return f"{self.number(scope, 2)} {self.sign()} {self.number(scope, 1)}"

    def compared_doubles(self, scope: Scope) -> str | None:
        """Return a comparison with a decimal number."""
        one = self.read(scope, "double")
        if one is None:
            return None
        if self.chance(0.4):
            one = f"{one} {self.random.choice('+-*/')} {self.random.choice(DOUBLES)}"
        whole = self.number(scope, 0)
        other = self.random.choice([self.random.choice(DOUBLES), f"dyn({whole})", f"double({whole})"])
        return f"{one} {self.sign()} {other}"

    # ── instants and durations ──

    def instant(self, scope: Scope) -> str:
        """Return an instant that does not depend on `now`."""
        at = self.read(scope, "timestamp")
        if at is None or self.chance(0.25):
            at = f'timestamp("{self.random.choice(INSTANTS)}")'
        return f"{at} {self.random.choice('+-')} {self.span(scope)}" if self.chance(0.2) else at

    def span(self, scope: Scope) -> str:
        """Return a duration that does not depend on `now`."""
        span = self.read(scope, "duration")
        if span is None or self.chance(0.5):
            return f'duration("{self.random.choice(SPANS)}")'
        return span

    def compared_instants(self, scope: Scope) -> str | None:
        """Return a comparison of instants."""
        if self.read(scope, "timestamp") is None:
            return None
        return f"{self.instant(scope)} {self.sign()} {self.instant(scope)}"

    def of_spans(self, scope: Scope) -> str | None:
        """Return a comparison of durations."""
        at, span = self.read(scope, "timestamp"), self.read(scope, "duration")
        if at is not None and self.chance(0.5):
            span = f"{self.instant(scope)} - {at}"
        return None if span is None else f"{span} {self.sign()} {self.span(scope)}"

    def of_now(self, scope: Scope) -> str:
        """Return a comparison with `now`."""
        at, span, sign = self.instant(scope), self.span(scope), self.sign()
        since = self.read(scope, "timestamp")
        years = self.read(scope, "int") if self.chance(0.4) else self.literal_number()
        if since is not None and years is not None and self.chance(0.25):
            when = self.random.choice(["now", "now", f"now - {span}", f"now + {span}"])
            age = f"age({since}, {when})"
            return f"{age} {sign} {years}" if self.chance(0.7) else f"{years} {sign} {age}"
        return self.random.choice([
            f"now {sign} {at}", f"{at} {sign} now", f"now - ({at}) {sign} {span}", f"{span} {sign} now - ({at})",
            f"now + {span} {sign} {at}", f"{at} {sign} now - {span}", f"{at} - now {sign} {span}",
            f"now - {span} + {span} {sign} {at}",
        ])  # fmt: skip

    # ── texts and lists of values ──

    def quoted(self, words: Sequence[str]) -> str:
        """Return a text as written."""
        return f'"{self.random.choice(words)}"'

    def text(self, scope: Scope) -> tuple[str, Type] | None:
        """Return a word or text that is read, and its type."""
        found = [(name, held) for name, held in [*scope.readable(), *self.pool.items()] if held.kind == "string"]
        return self.random.choice(found) if found else None

    def compared_texts(self, scope: Scope) -> str | None:
        """Return a condition on a word or text."""
        found = self.text(scope)
        if found is None:
            return None
        name, kind = found
        words = kind.words or TEXTS
        other = self.text(scope)
        match self.random.randrange(8):
            case 0 | 1 | 2:
                return f"{name} {self.random.choice(['==', '!='])} {self.quoted(words)}"
            case 3 if other is not None:
                return f"{name} {self.sign()} {other[0]}"
            case 4:
                listed = ", ".join(
                    f'"{word}"' for word in self.random.sample(words, self.random.randint(1, len(words)))
                )
                return f"{name} in [{listed}]"
            case 5:
                method = self.random.choice(["startsWith", "endsWith", "contains"])
                return f"{name}.{method}({self.quoted(TEXTS)})"
            case 6:
                return f"{name}.matches({self.quoted(PATTERNS)})"
            case _:
                return f"size({name}) {self.sign()} {self.literal_number()}"

    def members(self, scope: Scope) -> str | None:
        """Return whether a value is in a list of values."""
        lists = [
            (name, held.element) for name, held in [*scope.readable(), *self.pool.items()] if held.element is not None
        ]
        plain = [(name, element) for name, element in lists if element.struct is None]
        if not plain:
            return None
        name, element = self.random.choice(plain)
        made = {"int": lambda: self.number(scope, 1), "timestamp": lambda: self.instant(scope)}
        item = made.get(element.kind, lambda: self.quoted(element.words or TEXTS))()
        return f"{item} in {name}"
