"""What a target does with each operation: one table a target, filled by decorator.

    handles = Handlers("the FINN target", instead="use target 'hls4ml'")

    @handles(Linear)
    def lower_linear(op, state): ...

    handles.of(op)(op, state)

A family, such as `Elementwise`, may be announced where all its members are handled alike. An
operation that nobody has announced is refused, in the same words everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from ..errors import TargetError
from .ops import OPERATIONS, Op

Handler = TypeVar("Handler", bound=Callable[..., object])
Own = TypeVar("Own", bound=Callable[..., object])


class Handlers(Generic[Handler]):
    """The operations that one target knows, and what it does with them.

    Attributes:
        who: the target, as messages call it.
        instead: what to do about an operation that it lacks.
    """

    def __init__(self, who: str, *, instead: str) -> None:
        self.who = who
        self.instead = instead
        self._table: dict[type, Handler] = {}

    def __call__(self, *kinds: type) -> Callable[[Own], Own]:
        """Decorator that announces a handler of these operations, or of whole families.

        Raises:
            TypeError: one of them has a handler already.
        """

        def announce(handler: Own) -> Own:
            for kind in kinds:
                if kind in self._table:
                    raise TypeError(f"{self.who}: {kind.__name__} has a handler already")
                self._table[kind] = handler  # type: ignore[assignment]  # as `of` gives it out
            return handler

        return announce

    def __iter__(self) -> Iterator[Any]:
        """Operations and families, as they were announced."""
        return iter(self._table)

    def __contains__(self, kind: type) -> bool:
        return self._found(kind) is not None

    def of(self, op: Op) -> Handler:
        """What handles `op`.

        Raises:
            TargetError: nothing does: who lacks it, and what to do instead.
        """
        found = self._found(type(op))
        if found is None:
            raise TargetError(
                f"{op.label}: {self.who} has no form of this operation: {self.instead}"
            )
        return found

    def _found(self, kind: type) -> Handler | None:
        """The handler of the operation itself or of a family; never that of another operation."""
        kinds = (one for one in kind.__mro__ if one is kind or one.__name__ not in OPERATIONS)
        return next((self._table[one] for one in kinds if one in self._table), None)
