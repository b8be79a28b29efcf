"""What a comparison of executors found: equal, different, or not compared and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from brevitas_quantizers.text import html_table

from .errors import OptionError, VerificationError
from .ir.compare import Difference, TensorAgreement

__all__ = ["Agreement", "Difference", "ExecutorAgreement", "TensorAgreement"]


@dataclass(frozen=True)
class ExecutorAgreement:
    """One executor against the interpreter.

    Attributes:
        name: the executor.
        version: package and version.
        samples: inputs compared: all it was given, its limit at most, if it `ran`; those before it
            stopped if it did not.
        tensors: the tensors compared, in the order of the network.
        first: the first differences, earliest tensor first.
        seconds: time of the executor alone, its preparation included.
        reason: why it was not run, or not on every sample; None if it was. What was compared
            counts all the same.
    """

    name: str
    version: str
    samples: int = 0
    tensors: tuple[TensorAgreement, ...] = ()
    first: tuple[Difference, ...] = ()
    seconds: float = 0.0
    reason: str | None = None

    @property
    def ran(self) -> bool:
        """Whether it was compared on all that it was given, and that was something."""
        return self.reason is None and self.codes > 0

    @property
    def why(self) -> str:
        """Why it did not run, in words; empty if it did."""
        return "" if self.ran else self.reason or "it returned nothing to compare"

    @property
    def codes(self) -> int:
        """Codes compared, of all tensors."""
        return sum(tensor.codes for tensor in self.tensors)

    @property
    def differing(self) -> int:
        """Codes that differ, of all tensors."""
        return sum(tensor.differing for tensor in self.tensors)

    @property
    def first_tensor(self) -> TensorAgreement | None:
        """The first tensor of the network that differs: where to look for the cause."""
        return next((tensor for tensor in self.tensors if tensor.differing), None)


@dataclass(frozen=True)
class Agreement:
    """All executors against the interpreter; index it by an executor's name.

    Attributes:
        model: name of the network.
        samples: inputs given.
        seconds: time of the interpreter.
        executors: one entry per executor asked for.
    """

    model: str
    samples: int
    seconds: float
    executors: tuple[ExecutorAgreement, ...] = field(default=())

    def __getitem__(self, name: str) -> ExecutorAgreement:
        for executor in self.executors:
            if executor.name == name:
                return executor
        raise KeyError(name)

    @property
    def agrees(self) -> bool:
        """Whether at least one executor ran, and none differs in any code, to its end or not."""
        differs = any(executor.differing for executor in self.executors)
        return not differs and any(executor.ran for executor in self.executors)

    @property
    def verdict(self) -> str:
        """What was proven, in one sentence."""
        compared = [executor for executor in self.executors if executor.codes]
        codes = sum(executor.codes for executor in compared)
        if not codes:
            return "Nothing was compared: nothing is proven."
        by = ", ".join(f"{one.name} {one.differing:,} of {one.codes:,}" for one in compared)
        differing = sum(executor.differing for executor in compared)
        ended = "" if self.agrees or differing else ", but none to its end: nothing is proven"
        return f"{differing:,} of {codes:,} integer codes differ ({by}){ended}."

    def raise_if_different(self, required: Sequence[str] = ()) -> Agreement:
        """Return this object if all agree.

        Args:
            required: executors that must have run.

        Raises:
            VerificationError: a code differs, nothing was compared, or one of `required` did not
                run to its end.
            OptionError: one of `required` is no executor of this comparison.
        """
        names = [executor.name for executor in self.executors]
        for name in required:
            if name not in names:
                known = ", ".join(names) or "none"
                raise OptionError(f"required must be executors compared ({known}), not {name!r}")
            if not self[name].ran:
                raise VerificationError(f"{self.model}: {name} was not run: {self[name].why}")
        for executor in self.executors:
            if executor.differing:
                raise VerificationError(
                    f"{self.model}: {executor.name} differs from the interpreter in "
                    f"{executor.differing} of {executor.codes} codes; first: {executor.first[0]}"
                )
        if not self.agrees:
            began = [executor for executor in self.executors if executor.codes]
            left = [f"{executor.name}: {executor.why}" for executor in began]
            found = "; ".join(left) or "no executor was run, nothing was compared"
            raise VerificationError(f"{self.model}: {found}")
        return self

    def _repr_html_(self) -> str:
        head = ("executor", "version", "samples", "tensors", "codes", "differing", "seconds")
        rows = [(*_row(executor), *[""] * len(head))[: len(head)] for executor in self.executors]
        shown = [line for executor in self.executors for line in _difference_lines(executor)]
        return html_table([head, *rows], left=2, notes=[self.verdict, *shown])

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("executor", "version", "samples", "tensors", "codes", "differing", "seconds")
        ]
        rows += [_row(executor) for executor in self.executors]
        full = [row for row in rows if len(row) == len(rows[0])]
        widths = [
            max(len(row[i]) for row in (rows if i < 2 else full)) for i in range(len(rows[0]))
        ]
        table = [_format_row(row, widths) for row in rows]
        interpreter = f"{self.model}: interpreter, {self.samples} samples, {self.seconds:.2f} s"
        shown = [line for executor in self.executors for line in _difference_lines(executor)]
        return "\n".join([interpreter, *table, *shown, self.verdict])


def _difference_lines(executor: ExecutorAgreement) -> list[str]:
    """Why an executor ended early; where it begins to differ, on how much, and first values."""
    first = executor.first_tensor
    left = [f"  {executor.name}: {executor.why}"] if executor.codes and not executor.ran else []
    if first is None:
        return left
    head = (
        f"  {executor.name}: {first.name} is the first tensor that differs, in "
        f"{first.differing:,} of {first.codes:,} codes, on {first.differing_samples:,} of "
        f"{executor.samples:,} samples"
    )
    return [*left, head, *(f"  {executor.name}: {difference}" for difference in executor.first)]


def _row(executor: ExecutorAgreement) -> tuple[str, ...]:
    if not executor.codes:
        return (executor.name, executor.version, f"not run: {executor.why}")
    counts = (executor.samples, len(executor.tensors), executor.codes, executor.differing)
    return (
        executor.name,
        executor.version,
        *(f"{count:,}" for count in counts),
        f"{executor.seconds:.2f}",
    )


def _format_row(row: tuple[str, ...], widths: list[int]) -> str:
    names = [cell.ljust(width) for cell, width in zip(row[:2], widths, strict=False)]
    if len(row) == 3:
        return "  ".join([*names, row[2]])
    numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join([*names, *numbers])
