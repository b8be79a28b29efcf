"""`QfxAccelerator`: a network on a board, NumPy in and NumPy out."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import registers as reg
from .backend import Backend, Buffer
from .control import control_of
from .description import Description
from .dma import DmaChannel
from .errors import AcceleratorError, AcceleratorTimeoutError, NoPowerSensor
from .figures import Figures, Measurement
from .run import Run
from .tensors import Given, Samples, check_codes, check_values, decode_codes, values_of

TRANSFER_BYTES = 1 << 22
"""A transfer has at most so many bytes in each direction, unless one sample is larger."""


class QfxAccelerator:
    """A network on a board.

        with QfxAccelerator("net_axi.bit") as accelerator:
            logits = accelerator.run(images)      # floats in, floats out
            run = accelerator.start(images)       # the same without waiting
            ...
            logits = run.wait()
            print(accelerator.measure(images))

    Several threads may share it: `run`, `run_codes` and `measure` take turns. A run that is
    interrupted, or whose `Run` nobody holds any more, is given up as soon as the next one starts;
    `reset` gives up one that is under way.

    Args:
        overlay: path of the `.bit` file, loaded with PYNQ, or a `Backend`.
        description: `accelerator.json` or its path; by default the file beside the `.bit`.
        timeout: seconds after which a transfer counts as stuck.
        transfer_samples: most samples of a transfer; by default what fits into 4 MB.

    Raises:
        DescriptionError: the description cannot be read.
        WrongBitstreamError: the logic on the board is another accelerator.
    """

    def __init__(
        self,
        overlay: str | os.PathLike[str] | Backend,
        description: Description | str | os.PathLike[str] | None = None,
        *,
        timeout: float = 10.0,
        transfer_samples: int | None = None,
    ) -> None:
        self.description = _description(overlay, description)
        self.timeout = timeout
        self.transfer_samples = _transfer_samples(self.description, transfer_samples)
        self._backend: Backend = _backend(overlay, self.description)
        self._control = control_of(self._backend, self.description)
        self._sender = DmaChannel(self._backend.dma, reg.MM2S, "to the accelerator")
        self._receiver = DmaChannel(self._backend.dma, reg.S2MM, "from the accelerator")
        self._buffers: list[tuple[Buffer, Buffer]] = []
        self._active: weakref.ref[Run] | None = None
        self._dirty = False
        self._turns, self.lock = RLock(), RLock()  # of whole runs, and of the hardware
        self._open = True
        try:
            self.check()
            self.reset()
        except BaseException:
            self.close()
            raise

    def run(self, x: Given, *, codes: bool = False) -> Any:
        """Run on float values.

        Args:
            x: (samples, *shape) floats as in training; by name if there are several inputs. They
                are cast to the input's format, as the network's first Quant does.
            codes: return int64 codes, not values.

        Returns:
            (samples, *shape) float64, exact; by name if there are several outputs.

        Raises:
            DataError: wrong shape or type, or a value that is not finite.
            AcceleratorError: the hardware reports an error.
            AcceleratorTimeoutError: it does not finish.
        """
        with self._turns:
            return self.start(x, codes=codes).wait()

    __call__ = run

    def run_codes(self, codes: Given) -> Any:
        """Run on integer codes; returns int64 codes. Otherwise like `run`.

        Raises:
            DataError: wrong shape or type, or a code outside its format.
        """
        with self._turns:
            return self.start_codes(codes).wait()

    def start(self, x: Given, *, codes: bool = False) -> Run:
        """Begin a run and return at once; `Run.wait` gives what `run` does."""

        def finish(out: NDArray[np.int64]) -> Any:
            found = decode_codes(self.description, out)
            return found if codes else values_of(self.description, found)

        return self._start(check_values(self.description, x), finish)

    def start_codes(self, codes: Given) -> Run:
        """Begin a run and return at once; `Run.wait` gives what `run_codes` does."""
        samples = check_codes(self.description, codes)
        return self._start(samples, lambda out: decode_codes(self.description, out))

    def measure(self, x: Given, repeats: int = 3) -> Measurement:
        """Throughput, latency and, where the board measures it, power.

        Args:
            x: as for `run`; many samples, so that filling and draining count little.
            repeats: how often they go through.
        """
        samples = check_values(self.description, x)
        if not len(samples) or repeats < 1:
            raise AcceleratorError(
                f"measure needs a sample and a repeat, not {len(samples)} and {repeats}"
            )
        figures, note = Figures(), ""
        seen: list[dict[str, float]] = []
        with self._turns:
            for _ in range(repeats):
                run = self._start(samples, lambda out: out)
                try:
                    note = self._look(seen) or note
                    run.wait()
                except BaseException:
                    if self._active is not None:  # it was not `wait` that failed
                        self.recover()
                    raise
                figures += run.figures
        rails = seen[0] if seen else {}
        watts = {rail: float(np.mean([one[rail] for one in seen])) for rail in rails}
        return Measurement(figures, self.clock_mhz, watts, note)

    @property
    def clock_mhz(self) -> float:
        """Clock of the logic in MHz: as the board gives it, else as it is built for."""
        return getattr(self._backend, "clock_mhz", None) or self.description.clock_mhz

    def watts(self) -> dict[str, float]:
        """Power of each rail of the board in W at this moment.

        Raises:
            NoPowerSensor: the board does not measure it.
        """
        return self._backend.watts()

    def check(self) -> None:
        """Compare what the registers say with the description.

        An accelerator of Vitis HLS (target hls4ml) holds no id of its network: there it is only
        seen that its registers are such ones.

        Raises:
            WrongBitstreamError: the logic is another accelerator, or none of ours.
        """
        self._control.check()

    def reset(self) -> None:
        """Forget everything that is under way, in the accelerator and in the DMA.

        A run that is under way is lost. An accelerator of Vitis HLS that is not idle is loaded
        again.

        Raises:
            AcceleratorTimeoutError: one of them does not come out of its reset.
        """
        with self.lock:
            self._abandon("reset")
            self._dirty = True  # until both have come out of it
            self._sender.reset()
            self._control.reset()
            self._dirty = False

    def close(self) -> None:
        """Give memory and board back; a run that is under way is lost."""
        with self.lock:
            if not self._open:
                return
            self._open = False
            try:
                # The DMA must not write into memory that is given back.
                if self._active is not None or self._dirty:
                    self._abandon("closed")
                    self._sender.reset()
            finally:
                for buffer in (buffer for pair in self._buffers for buffer in pair):
                    buffer.free()
                self._backend.close()

    def __enter__(self) -> QfxAccelerator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What a `Run` does with the hardware.

    def pack(self, place: int, codes: NDArray[Any]) -> None:
        """Write samples into the input memory of a place, 0 or 1."""
        source, _ = self._memory(place)
        self.description.input_layout.pack(codes, source.data)
        source.flush()

    def launch(self, place: int, samples: int) -> None:
        """Start a transfer of what is packed in a place."""
        source, sink = self._memory(place)
        self._control.begin(samples)
        size = self.description.output_layout.sample_bytes
        self._receiver.start(sink.address, samples * size)
        size = self.description.input_layout.sample_bytes
        self._sender.start(source.address, samples * size)

    def transfer_finished(self, samples: int, seconds: float) -> bool:
        """Whether the transfer that was launched has ended.

        Raises:
            AcceleratorError: an error is reported, or fewer bytes came than there should be.
            AcceleratorTimeoutError: `seconds` is more than the time allowed.
        """
        if self._receiver.finished():
            moved = self._receiver.moved()
            wanted = samples * self.description.output_layout.sample_bytes
            if moved != wanted:
                raise AcceleratorError(f"the accelerator sent {moved} of {wanted} bytes")
            if self._sender.finished() and self._control.finished():
                return True
        if seconds > self.timeout:
            raise AcceleratorTimeoutError(
                f"the run did not end in {self.timeout:g} s: {self._state()}"
            )
        return False

    def transfer_figures(self, samples: int, seconds: float) -> Figures:
        """The counters after a transfer."""
        return self._control.figures(samples, seconds)

    def unpack(self, place: int, samples: int) -> NDArray[Any]:
        """(samples, positions, values) from the output memory of a place."""
        _, sink = self._memory(place)
        sink.invalidate()
        return self.description.output_layout.unpack(sink.data, samples)

    def release(self, run: Run) -> None:
        """The run is over."""
        if self._active is not None and self._active() is run:
            self._active = None

    def recover(self) -> None:
        """Reset after a failed run; if that fails too, the next run tries again."""
        with suppress(AcceleratorError, AcceleratorTimeoutError):
            self.reset()

    def _look(self, seen: list[dict[str, float]]) -> str:
        """Add the power at this moment; why there is none, if there is none."""
        try:
            seen.append(self._backend.watts())
        except NoPowerSensor as error:
            return str(error)
        return ""

    def _abandon(self, reason: str) -> None:
        run = self._active() if self._active is not None else None
        if run is not None:
            run.abandon(reason)
        self._active = None

    def _start(self, samples: Samples, finish: Any) -> Run:
        with self.lock:
            if not self._open:
                raise AcceleratorError("the accelerator is closed")
            if self._active is not None and self._active() is not None:
                raise AcceleratorError("a run is under way: wait for it before the next one starts")
            if self._active is not None or self._dirty:  # nobody can wait for it any more
                self.reset()
            run = Run(self, samples, finish)
            self._active = weakref.ref(run)
            run.begin()
            return run

    def _memory(self, place: int) -> tuple[Buffer, Buffer]:
        while len(self._buffers) <= place:
            sizes = [
                self.transfer_samples * layout.sample_bytes
                for layout in (self.description.input_layout, self.description.output_layout)
            ]
            self._buffers.append(
                (self._backend.allocate(sizes[0]), self._backend.allocate(sizes[1]))
            )
        return self._buffers[place]

    def _state(self) -> str:
        """What the registers say, for a message."""
        return (
            f"{self._control.state()} (status 0x{self._control.status():x}, "
            f"DMA 0x{self._sender.status():x} and 0x{self._receiver.status():x})"
        )


def _description(overlay: Any, given: Any) -> Description:
    if isinstance(given, Description):
        return given
    if given is None:
        if not isinstance(overlay, str | os.PathLike):
            raise AcceleratorError("description must be given with a backend")
        given = Path(overlay).with_name("accelerator.json")
    return Description.load(given)


def _backend(overlay: Any, description: Description) -> Backend:
    if not isinstance(overlay, str | os.PathLike):
        backend: Backend = overlay
        return backend
    from .pynq_backend import PynqBackend

    return PynqBackend(Path(overlay), description)


def _transfer_samples(description: Description, given: int | None) -> int:
    most = description.most_frames
    if most < 1:
        raise AcceleratorError(
            f"a sample must fit into a transfer of {(1 << description.dma_length_bits) - 1} bytes"
        )
    if given is not None:
        if not 1 <= given <= most:
            raise AcceleratorError(f"transfer_samples must be 1 to {most}, not {given}")
        return given
    layouts = (description.input_layout, description.output_layout)
    largest = max(layout.sample_bytes for layout in layouts)
    return min(most, max(1, TRANSFER_BYTES // largest))
