"""Templates of operators, in a sandbox in which also honest mistakes end.

Jinja's own sandbox keeps a template from what it must not see. This one bounds what it may cost,
too: steps, time, and the size of all that it makes on the way, while it is compiled (where Jinja
computes what is constant) and while it is filled in.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from jinja2 import TemplateError, nodes
from jinja2.compiler import CodeGenerator
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jinja2 import Template
    from jinja2.compiler import Frame

# make any size of anything, or take time with the square of a text
_REMOVED_FILTERS: Final = (
    *("center", "indent", "wordwrap", "pprint", "batch", "slice", "urlize", "xmlattr", "striptags"),
)
_REMOVED_GLOBALS: Final = ("lipsum", "cycler", "joiner")
_SWELLING: Final = frozenset(
    {"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "replace", "join"}
)
_WIDE: Final = re.compile(r"[0-9]{3}|\*")
_MAX_BITS: Final = 4096  # of a whole number


class TemplateLimitError(TemplateError):
    """A template takes too long or makes too much."""


@dataclass(frozen=True, slots=True)
class TemplateLimits:
    """What filling in a template may cost: ``size`` in characters, or members, of each thing.

    ``seconds`` are the thread's own: a busy machine makes no template a wrong one.
    """

    seconds: float
    steps: int
    size: int


class _Budget(threading.local):
    """What is left to the template that this thread fills in."""

    deadline: float = float("inf")
    steps: int = 0


class _Generator(CodeGenerator):
    """Compiles ``~`` into what looks at the size of the result."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        self.write("environment.sized(")
        super().visit_Concat(node, frame)
        self.write(")")


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates cost no more than ``limits`` when ``fill`` fills them in."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Generator

    def __init__(self, limits: TemplateLimits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._budget = _Budget()
        for name in _REMOVED_GLOBALS:
            self.globals.pop(name, None)
        for name in _REMOVED_FILTERS:
            self.filters.pop(name, None)
        self.filters["format"] = _format
        for name, function in self.filters.items():
            self.filters[name] = self._bounded(name, function)
        self.filters["each"] = self._each
        self.filters["sized"] = self.sized
        self.globals["range"] = self._range

    def fill(self, template: Template, values: Mapping[str, Any]) -> str:
        """Return a template's output. Raises TemplateLimitError, and what the template raises."""
        budget = self._budget
        budget.deadline = time.thread_time() + self._limits.seconds
        budget.steps = 0
        parts: list[str] = []
        length = 0
        try:
            for part in template.generate(values):
                length += len(part)
                if length > self._limits.size:
                    raise TemplateLimitError(f"it makes more than {self._limits.size} characters")
                self._step()
                parts.append(part)
        finally:
            budget.deadline = float("inf")
        return "".join(parts)

    def sized(self, value: Any) -> Any:
        """Return a value that is not too large."""
        if isinstance(value, str | list | tuple | dict) and len(value) > self._limits.size:
            raise TemplateLimitError(f"it makes something larger than {self._limits.size}")
        if isinstance(value, int) and value.bit_length() > _MAX_BITS:
            raise TemplateLimitError("it makes a number that is too large")
        return value

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Count a call, of a macro, too, and look at what it makes."""
        self._step()
        return self.sized(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what makes much of little."""
        self._step()
        if operator == "+":
            lengths = sum(len(one) for one in (left, right) if isinstance(one, str | list | tuple))
            if lengths > self._limits.size:
                raise TemplateLimitError(f"it makes something larger than {self._limits.size}")
        elif not all(isinstance(one, int | float) for one in (left, right)):
            raise TemplateLimitError(f"{operator} goes with numbers only")
        elif operator == "**" and not abs(right) <= 64:  # noqa: PLR2004 - what a figure may need
            raise TemplateLimitError("the exponent is too large")
        return self.sized(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse methods of texts that make much of little, too."""
        if isinstance(obj, str) and attr in _SWELLING:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,  # noqa: FBT001, FBT002 - Jinja's own
    ) -> str:
        """Have every loop counted, and every captured block measured."""
        for loop in source.find_all(nodes.For):
            if loop.recursive:
                raise TemplateLimitError("it has a recursive loop")
            loop.iter = _filtered(loop.iter, "each", loop.lineno)
        for block in source.find_all(nodes.AssignBlock):
            block.filter = _filtered(block.filter, "sized", block.lineno)
        return super()._generate(source, name, filename, defer_init)

    def _step(self) -> None:
        budget = self._budget
        budget.steps += 1
        if budget.steps > self._limits.steps or time.thread_time() > budget.deadline:
            raise TemplateLimitError("it takes too long")

    def _each(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._step()
            yield item

    def _range(self, *bounds: int) -> Iterator[int]:
        return self._each(range(*bounds))

    def _bounded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def bounded(*args: Any, **kwargs: Any) -> Any:
            self._step()
            if name in {"join", "replace"}:
                self._refuse_swelling(args)
            return self.sized(function(*args, **kwargs))

        return bounded

    def _refuse_swelling(self, args: tuple[Any, ...]) -> None:
        """Refuse a join or replacement that might make much; what is joined counts as texts."""
        texts = [one for one in args if isinstance(one, str | list | tuple)]
        if len(texts) > 1 and len(texts[0]) * max(map(len, texts[1:])) > self._limits.size:
            raise TemplateLimitError(f"it makes something larger than {self._limits.size}")


def _filtered(node: Any, name: str, line: int) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=line)


def _format(text: str, *values: Any) -> str:
    """Fill in a text as ``%`` does, into widths that a line has room for."""
    if _WIDE.search(text):
        raise TemplateLimitError("a width is too large")
    return str(text) % values
