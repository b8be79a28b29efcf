"""A run: samples go through in as many transfers as they need, while the processor packs ahead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import AcceleratorError
from .figures import Figures
from .tensors import Samples

if TYPE_CHECKING:
    from .accelerator import QfxAccelerator

BUSY_SECONDS = 0.002
"""So long the processor asks without a pause; a short run ends within."""

PAUSE_SECONDS = 0.0001


class Run:
    """Samples under way; `QfxAccelerator.start` makes it.

    While a transfer runs, the next one is packed into other memory. `done` and `wait` start it as
    soon as the one before has ended, so a run of several transfers goes on only while one of the
    two is called. Any error that leaves them ends the run and resets the accelerator, also
    Ctrl-C in `wait`: the next run finds it free.

    Args:
        owner: the accelerator.
        samples: checked inputs.
        finish: makes the result of (samples, positions, values) codes.
    """

    def __init__(
        self,
        owner: QfxAccelerator,
        samples: Samples,
        finish: Callable[[NDArray[np.int64]], Any],
    ) -> None:
        self.figures = Figures()
        self._owner, self._samples, self._finish = owner, samples, finish
        size = owner.transfer_samples
        self._spans = [(at, min(at + size, len(samples))) for at in range(0, len(samples), size)]
        self._outputs: list[NDArray[np.int64]] = []
        self._result: Any = None
        self._error: BaseException | None = None
        self._began = 0.0

    def begin(self) -> None:
        """Start the first transfer; the accelerator calls it once."""
        if self._spans:
            self._guard(self._first)
        else:
            layout = self._owner.description.output_layout
            self._end(np.zeros((0, layout.positions, layout.values), dtype=np.int64))

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be done, as far as `done` and `wait` have seen."""
        return self._result is not None

    def done(self) -> bool:
        """Whether all results are there; never blocks.

        Raises:
            AcceleratorError: the DMA or the accelerator reports an error.
            AcceleratorTimeoutError: a transfer takes longer than the accelerator's `timeout`.
        """
        with self._owner.lock:  # another thread may ask as well
            if self._error is not None:
                raise self._error
            if not self.ended:
                self._guard(self._poll)
            return self.ended

    def wait(self) -> Any:
        """The results, as soon as they are there.

        Raises:
            AcceleratorError: the DMA or the accelerator reports an error.
            AcceleratorTimeoutError: a transfer takes longer than the accelerator's `timeout`.
        """
        try:
            while not self.done():
                if time.perf_counter() - self._began > BUSY_SECONDS:
                    time.sleep(PAUSE_SECONDS)
        except BaseException as error:
            self._fail(error)  # Ctrl-C between two questions
            raise
        return self._result

    def abandon(self, reason: str) -> None:
        """The accelerator was reset or closed: what was under way is lost."""
        self._error = AcceleratorError(f"the accelerator was {reason} during this run")

    def _first(self) -> None:
        self._pack(0)
        self._launch(0)
        self._pack(1)

    def _poll(self) -> None:
        number = len(self._outputs)
        begin, end = self._spans[number]
        if not self._owner.transfer_finished(end - begin, time.perf_counter() - self._began):
            return
        seconds = time.perf_counter() - self._began
        self.figures += self._owner.transfer_figures(end - begin, seconds)
        self._launch(number + 1)
        self._outputs.append(self._owner.unpack(number % 2, end - begin))
        self._pack(number + 2)
        if len(self._outputs) == len(self._spans):
            self._end(np.concatenate(self._outputs))

    def _pack(self, number: int) -> None:
        if number < len(self._spans):
            begin, end = self._spans[number]
            self._owner.pack(number % 2, self._samples.codes(begin, end))

    def _launch(self, number: int) -> None:
        if number < len(self._spans):
            begin, end = self._spans[number]
            self._began = time.perf_counter()
            self._owner.launch(number % 2, end - begin)

    def _end(self, codes: NDArray[np.int64]) -> None:
        self._result = self._finish(codes)
        self._owner.release(self)

    def _guard(self, step: Callable[[], None]) -> None:
        """After an error the accelerator is reset, and free for another run."""
        try:
            step()
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        with self._owner.lock:
            if self.ended or self._error is not None:
                return
            # What interrupts one wait is no answer to the next.
            ours = isinstance(error, Exception)
            self._error = error if ours else AcceleratorError("the run was interrupted")
            self._owner.release(self)
            self._owner.recover()
