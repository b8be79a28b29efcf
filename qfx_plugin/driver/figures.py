"""What the accelerator's counters and the processor's clock say about runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figures:
    """One transfer, or several added up; all counted by the logic, but `seconds`.

    An accelerator of Vitis HLS counts nothing: cycles, latency and waits are 0 then.

    Attributes:
        samples: that went through.
        transfers: of the DMA.
        cycles: from the first beat in to the last beat out, of each transfer, added.
        latency_cycles: from the first beat of a sample to the last of its result; of the first
            sample of the first transfer.
        input_waits: cycles in which the network could have taken a beat and the DMA had none.
        input_stalls: cycles in which the DMA had a beat and the network could not take it.
        output_stalls: cycles in which a result waited for the DMA.
        seconds: from the start of the DMA until the processor saw the end, by its own clock.
    """

    samples: int = 0
    transfers: int = 0
    cycles: int = 0
    latency_cycles: int = 0
    input_waits: int = 0
    input_stalls: int = 0
    output_stalls: int = 0
    seconds: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.samples + other.samples,
            self.transfers + other.transfers,
            self.cycles + other.cycles,
            self.latency_cycles or other.latency_cycles,
            self.input_waits + other.input_waits,
            self.input_stalls + other.input_stalls,
            self.output_stalls + other.output_stalls,
            self.seconds + other.seconds,
        )


@dataclass(frozen=True)
class Measurement:
    """Throughput, latency and power of an accelerator.

    What is made of cycles is NaN where the logic counts none.

    Attributes:
        figures: of all runs, added.
        clock_mhz: clock of the logic as the board gives it, else as it is built for; times in
            seconds that are made from cycles hold for it.
        watts: mean power of each rail in W while it ran; empty if the board does not measure it.
        power_note: why `watts` is empty.
    """

    figures: Figures
    clock_mhz: float
    watts: dict[str, float] = field(default_factory=dict)
    power_note: str = ""

    @property
    def cycles_per_sample(self) -> float:
        """Clock cycles from one sample to the next, filling and draining included."""
        return (self.figures.cycles or math.nan) / self.figures.samples

    @property
    def samples_per_second(self) -> float:
        """Of logic and DMA, from cycles and clock."""
        return 1e6 * self.clock_mhz / self.cycles_per_sample

    @property
    def host_samples_per_second(self) -> float:
        """By the processor's clock: with starting and polling, without packing."""
        return self.figures.samples / self.figures.seconds

    @property
    def latency_seconds(self) -> float:
        """Of one sample: first beat in to last beat out."""
        return (self.figures.latency_cycles or math.nan) / (1e6 * self.clock_mhz)

    def __str__(self) -> str:
        one = self.figures
        host = f"{self.host_samples_per_second:.0f} samples/s by the processor's clock"
        lines = [f"{one.samples} samples in {one.transfers} transfers"]
        if one.cycles:
            lines += [
                f"throughput: {self.samples_per_second:.0f} samples/s in the logic "
                f"({self.cycles_per_sample:.1f} cycles each at {self.clock_mhz:g} MHz), {host}",
                f"latency: {1e6 * self.latency_seconds:.2f} us ({one.latency_cycles} cycles)",
                f"waits: {one.input_waits} cycles for input, {one.input_stalls} for the network, "
                f"{one.output_stalls} for output",
            ]
        else:
            lines.append(f"throughput: {host}; this accelerator counts no cycles")
        if self.watts:
            rails = ", ".join(f"{rail} {watt:.3f} W" for rail, watt in self.watts.items())
            lines.append(f"power: {rails}")
        else:
            lines.append(f"power: {self.power_note}")
        return "\n".join(lines)
