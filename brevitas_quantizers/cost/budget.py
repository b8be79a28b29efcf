"""`HardwareBudget`: one price for a bit of adder decides digits, pruning and word lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.autograd.digits import NO_DIGIT, digit_values
from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import DigitsQuantizer
from brevitas_quantizers.nn.base import plain

from .choice import choose_format, first_format, not_worth
from .folded import FoldedCost
from .formats import bias_shape, fit_bias, fold_half_lsb, take_over
from .layers import Layer, decay_zeros, held_digits
from .limits import FOLDED, Limits
from .measure import Measurements
from .model import (
    CAST_BITS,
    GROWTH_BITS,
    LUT_PER_BIT,
    all_digits,
    channel_digits,
    cost_of,
    fixed_cost,
    input_width,
    live_digits,
)
from .network import Activation, read_network
from .plan import FoldedPlan, fit_biases, give_up_signs
from .price import Digits, PriceControl
from .report import STREAMING, HardwareCost, example_of, report_of
from .tasks import SampledLoss, task_of
from .weights import take_over_weights

EVERY = 4
"""Training steps from one measurement of curvature, and choice of formats, to the next."""

FORMATS_EVERY = 2 * EVERY
"""Training steps from one measurement of the errors of formats to the next."""
HELD_FROM = 2**14
"""Weights from which on a layer keeps its digits from one measurement to the next."""
REFOLD_EVERY = 4 * FORMATS_EVERY
"""Training steps from one choice of a folded network's formats and units to the next."""

_OFTEN = 20  # first steps, of which each one is measured


class HardwareBudget:
    """Trains a network down to a number of LUTs.

    Weights with `QFXDigits`, and the activations between layers, cost what their adders cost; one
    price, in loss for a bit of adder, is raised until the network costs what is asked for. Use::

        budget = HardwareBudget(model, lut=3500, steps=2000)
        for x, y in batches:
            output = model(x)
            budget.observe(output)
            loss(output, y).backward()
            optimizer.step()
            budget.step()
        budget.freeze()

    Make it before the optimizer, before `DistributedDataParallel` and before a checkpoint is
    loaded: it replaces the quantizers of activations and biases by ones whose format it sets.
    A user's own format (`frac_bits`, `integer_bits`) stays as it is. Activations round by `AP_RND`
    until `freeze`, unless by `AP_TRN`. A signed input that was never negative in the warm-up
    becomes unsigned: a sign costs like any other bit.

    Args:
        model: a QFX network with `QFXDigits` weights; changed in place.
        lut: LUTs that the network may cost.
        dsp: DSP slices that a folded network may take; without a board none.
        bram: block RAMs of 36 Kbit that a folded network may take; without a board any number.
        cycles: clock cycles that a folded network may take for a sample; by default as many as its
            sliding windows need.
        board: or the board whose LUTs, and, folded, DSP slices and block RAMs, it may take.
        fraction: share of these limits, but for the cycles.
        style: `"unrolled"`, adder graphs with all positions of a convolution side by side;
            `"streaming"`, one graph for each layer, which computes a position in every cycle;
            `"folded"`, layers that share multipliers over time, the default with `dsp`, `bram` or
            `cycles`.
        example: input of a folded network, which tells its sizes; by default that of the first
            training step, or of a first linear layer. What is impossible is refused then.
        steps: training steps until the cost has come down to the budget; after them it is held.
        warmup: training steps before the price begins, by default a sixth of `steps`.
        task: `"classification"` (outputs are logits of a softmax over dimension 1), `"binary"`
            (of a sigmoid each), `"regression"` (squared error), or a function for anything else:
            of an output and a `torch.Generator`, to a loss summed over samples whose targets are
            drawn, with the generator, from the distribution that the output stands for.
        seed: of the sampled targets.

    Attributes:
        lut: LUTs that the network may cost.
        style: how its adder graphs are laid out.
        lut_per_bit: LUTs for a bit of adder in the estimate.
        steps_done: training steps so far.
        frozen: whether price and formats stay.

    Raises:
        OptionError: a value breaks its rule, or the network has nothing to decide about.
        ConversionError: torch.fx cannot trace the model.
    """

    def __init__(
        self,
        model: nn.Module,
        lut: float | None = None,
        *,
        dsp: float | None = None,
        bram: float | None = None,
        cycles: int | None = None,
        board: str | None = None,
        fraction: float = 1.0,
        style: str | None = None,
        example: Tensor | None = None,
        steps: int = 2000,
        warmup: int | None = None,
        task: str | SampledLoss = "classification",
        seed: int = 0,
    ) -> None:
        self.model = model
        limits = Limits.of(lut, dsp, bram, cycles, board, fraction, style)
        self.lut, self.style, self._limits = limits.lut, limits.style, limits
        self.task = task_of(task)
        self.network = read_network(model)
        self.layers = [
            layer
            for layer in self.network.layers
            if isinstance(layer.quantizer, DigitsQuantizer) and layer.trains
        ]
        if not self.layers:
            raise OptionError(
                f"HardwareBudget: {self.network.name} must have a linear layer or convolution with "
                "weight_quant=QFXDigits, not 0"
            )
        self.casts = [cast for cast in self.network.activations if cast.is_free]
        longest = {cast.name: cast.quantizer.rounded_width for cast in self.casts}
        self._control = PriceControl(0, 0, EVERY)
        self.plan(steps, warmup)
        self._take_over()
        self._measurements = Measurements(
            self.layers, self.casts, longest, self.task, seed, self.network.parts
        )
        self._bits, self.lut_per_bit = math.nan, LUT_PER_BIT
        self.steps_done, self.frozen, self._measured = 0, False, False
        self._gone: dict[str, Tensor] = {}
        self._digits: dict[str, Tensor] = {}
        self._folded: FoldedPlan | None = None
        self._longest = longest
        if self.style == FOLDED:
            self._prepare(example)
        self._measurements.listen(self.due)

    def __reduce__(self) -> str:
        raise OptionError(
            "HardwareBudget: cannot be copied or pickled, since it listens to its model: load "
            "budget.state_dict() into a HardwareBudget for the other model"
        )

    def _prepare(self, example: Tensor | None) -> None:
        """Read the sizes of a network to fold now, or with the first input that it sees."""
        if example is None:
            example = example_of(self.network)
        if example is not None:
            self._folded = FoldedPlan(
                self.model, self.network, self.casts, self._longest, self._limits.by_name,
                self._limits.cycles, example,
            )  # fmt: skip
            return

        def keep(_: nn.Module, args: tuple[Any, ...]) -> None:
            handle.remove()
            self._prepare(plain(args[0]).detach())

        handle = self.model.register_forward_pre_hook(keep)

    @property
    def fold(self) -> dict[str, tuple[int | str, ...]]:
        """The option `fold` of `compile_rtl` that makes the units of a folded network."""
        return dict(self._folded.fold) if self._folded is not None else {}

    def plan(self, steps: int, warmup: int | None = None) -> None:
        """Set when the cost is to be met; see the constructor.

        Raises:
            OptionError: impossible numbers.
        """
        self._control.plan(steps, warmup)

    @property
    def due(self) -> bool:
        """Whether the next forward pass is measured: it must not run compiled."""
        return not self.frozen and (self.steps_done < _OFTEN or self.steps_done % EVERY == 0)

    @property
    def _formats_are_due(self) -> bool:
        first = self.steps_done < _OFTEN or self._has_no_price_yet
        return first or self.steps_done % FORMATS_EVERY == 0

    @property
    def _has_no_price_yet(self) -> bool:
        """Whether the warm-up has ended and the first price is to come."""
        return not self._control.start and self.steps_done >= self._control.warmup

    @property
    def price(self) -> float:
        """Loss that a bit of adder, or a LUT of folded units, has to save; 0 in the warm-up."""
        return self._control.price if self._folded is None else self._folded.price

    @property
    def cost(self) -> float:
        """Estimated LUTs of the network, as of the last measurement."""
        if self.style == FOLDED:
            return math.nan if self._folded is None else self._folded.cost
        return self._bits * self.lut_per_bit

    def observe(self, output: Any) -> None:
        """Measure curvature and formats, where a measurement is due.

        Args:
            output: what the model returned in this training step, before `loss.backward()`.

        Raises:
            OptionError: the output is not that of a forward pass that can be measured.
            DataError: no output of the task.
        """
        if self.due:
            self.task.check(output)
            self._measurements.take(output, self._gone, self._formats_are_due)
            self._measured = True

    @torch.no_grad()
    def step(self) -> None:
        """Once after every `optimizer.step()`: decide digits and formats, move the price."""
        measured, self._measured = self._measured, False
        active = self.steps_done >= self._control.warmup
        if measured and not self.frozen:
            self._decide()
        if active and self.steps_done % EVERY == 0 and self.style != FOLDED:
            decay_zeros(self.layers, {} if self.frozen else self._digits, EVERY)
        self.steps_done += 1
        self._measurements.listen(self.due)

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep price, curvature and formats from now on; codes still follow their weights.

        Half an LSB of the casts that round goes into the bias in front of them: they truncate,
        which gives the same values for fewer LUTs. The network computes the same before and after.
        """
        if self.frozen:
            return
        if self._folded is not None and self._measurements.errors:
            self._folded.confirm(self._measurements.errors)
            fit_biases(self.layers)
        self.frozen = True
        self._measurements.stop()
        for layer in self.layers:
            layer.quantizer.hold(None)
        for cast in self.casts:
            if cast.producer is not None and cast.producer.sink is cast:
                fold_half_lsb(cast.producer, cast)

    def rescale(self, *args: Tensor) -> float:
        """Let alkaid count the LUTs of the present network, and correct the estimate by that.

        Args:
            args: example input, needed unless the network begins with a linear layer.

        Returns:
            The LUTs counted; of a folded network, by `compile_rtl`'s estimate.
        """
        if self.style == FOLDED:
            return float(self.folded_cost().lut)
        cost = self.hardware_cost()
        exact = cost.exact(*args)
        self.lut_per_bit = cost.lut_per_bit
        return exact

    def hardware_cost(self) -> HardwareCost:
        """The cost of the present network; see `brevitas_quantizers.hardware_cost`."""
        return report_of(self.model, self.network, self._positions, self.lut_per_bit, self.style)

    def folded_cost(self) -> FoldedCost:
        """The cost of a folded network with the units of this budget; see `HardwareCost.folded`.

        Raises:
            OptionError: another style, or nothing has gone through the network yet.
        """
        if self._folded is None:
            raise OptionError(
                "HardwareBudget.folded_cost: needs style 'folded' and a training step, or an "
                f"example, not style {self.style!r} and neither"
            )
        return self._folded.count()

    def state_dict(self) -> dict[str, Any]:
        """What a training that is resumed needs besides the model's and the optimizer's state."""
        return {
            "bits": self._bits,
            "control": self._control.state_dict(),
            "folded": None if self._folded is None else self._folded.state_dict(),
            "frozen": self.frozen,
            "gone": {name: gone.clone() for name, gone in self._gone.items()},
            "held": held_digits(self.layers),
            "lut_per_bit": self.lut_per_bit,
            "measurements": self._measurements.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called; the model's own state is loaded by itself."""
        self._bits, self.lut_per_bit = state["bits"], state["lut_per_bit"]
        self._control.load_state_dict(state["control"])
        self._gone = {name: gone.clone() for name, gone in state["gone"].items()}
        for layer in self.layers:
            layer.quantizer.hold(state.get("held", {}).get(layer.name))
        self._measurements.load_state_dict(state["measurements"])
        self.steps_done = state["steps_done"]
        if self._folded is not None and state.get("folded") is not None:
            self._folded.load_state_dict(state["folded"])
        if state["frozen"] and not self.frozen:
            self.frozen = True  # the model's state has the folded biases already
            self._measurements.stop()
        self._measurements.listen(self.due)

    def _take_over(self) -> None:
        for cast in self.casts:
            one_point = cast.is_input or self.style == FOLDED
            take_over(cast.proxy, () if one_point else cast.shape)
        for layer in self.layers:
            if self.style == FOLDED:
                take_over_weights(layer)
            weight = layer.weight.detach()
            prices = layer.over_inputs(weight.new_zeros(layer.inputs))
            layer.quantizer.make_room(torch.ones_like(weight), prices)
            layer.quantizer.hold(None)
            bias = layer.bias_quantizer
            if bias is not None and not bias.is_fixed_by_user:
                take_over(layer.module.bias_quant, bias_shape(layer))

    def _decide(self) -> None:
        """Formats and prices from what was measured, then the cost and the next price."""
        if self.style == FOLDED:
            self._decide_folded()
            return
        known = {
            layer.name: layer.quantizer.count(layer.weight, self._price_of(layer))
            for layer in self.layers
        }
        digits = all_digits(self.network, known)
        if self._formats_are_due:
            for cast in self.casts:
                self._decide_format(cast, digits)
            for layer in self.layers:
                fit_bias(layer)
        for layer in self.layers:
            price = self._price_of(layer)
            gone = self._gone.get(layer.source.name) if layer.source is not None else None
            if gone is not None:
                each = layer.over_inputs(gone.repeat_interleave(layer.inputs // len(gone)))
                price = torch.where(each, NO_DIGIT, price)
                digits[layer.name] = digits[layer.name] * ~each
            own: Any = layer.quantizer.price
            own.copy_(price.expand_as(own))
            if layer.latent is not None and layer.weight.numel() >= HELD_FROM:
                layer.quantizer.hold(digits[layer.name])
        self._digits = live_digits(self.network, digits)
        self._bits = cost_of(self.network, self._digits, self._positions)
        if self.steps_done >= self._control.warmup:
            fixed = fixed_cost(self.network, self._positions, self.lut, self.lut_per_bit)
            target = self.lut / self.lut_per_bit - fixed
            self._control.move(self.steps_done, self._bits - fixed, target, self._all_digits())

    def _decide_folded(self) -> None:
        """Formats and units, in the warm-up those before there is a price."""
        if not self._formats_are_due or self._folded is None:
            return
        if self.steps_done < self._control.warmup:
            for cast in self.casts:
                self._take_first_format(cast)
        elif self._has_no_price_yet and give_up_signs(self.casts, self._measurements.errors):
            return
        elif self._has_no_price_yet or self.steps_done % REFOLD_EVERY == 0:
            self._control.start = 1.0
            share = self._control.share(self.steps_done)
            self._folded.decide(self._measurements.errors, share)
        fit_biases(self.layers)

    @property
    def _positions(self) -> Mapping[str, int]:
        """How often layers and casts stand side by side: once, where positions follow in time."""
        return {} if self.style == STREAMING else self._measurements.positions

    def _bits_of_digit(self, layer: Layer) -> int:
        """As many bits of adder as its input has, and some, at every position."""
        positions = self._positions.get(layer.name, 1)
        return (input_width(layer) + GROWTH_BITS) * positions * layer.copies

    def _price_of(self, layer: Layer) -> Tensor:
        return layer.quantizer.price.new_tensor(self.price * self._bits_of_digit(layer))

    def _all_digits(self) -> Digits:
        """Digits by price, with today's formats."""
        most = max(layer.quantizer.options.k for layer in self.layers)
        losses, shares = [], []
        for layer in self.layers:
            bits = self._bits_of_digit(layer)
            found, each = layer.quantizer.losses(layer.weight, self.price * bits)
            losses.append(torch.cat([found / bits, *[found[-1:] / bits] * (most + 1 - len(found))]))
            shares.append((found.shape[1], bits * each))
        return Digits(digit_values(torch.cat(losses, 1)), shares)

    def _decide_format(self, cast: Activation, digits: dict[str, Tensor]) -> None:
        errors, quantizer = self._measurements.errors[cast.name], cast.quantizer
        positions = self._positions
        readers = zip(cast.readers, channel_digits(cast, digits), strict=True)
        load = sum(count * positions.get(layer.name, 1) for layer, count in readers)
        load = load.to(errors.curvature.dtype)
        if cast.is_input:
            if quantizer.signed and self._has_no_price_yet and errors.lowest >= 0:
                quantizer.set_unsigned()
        elif self.price == 0:
            self._take_first_format(cast)
            return
        elif cast.channels is not None:
            gone = not_worth(errors, self.price, GROWTH_BITS * load)
            self._gone[cast.name] = gone
            unread = gone | (load == 0)
            load = torch.where(unread, 0.0, load + CAST_BITS * positions.get(cast.name, 1))
        choice = choose_format(
            errors,
            self.price,
            load,
            quantizer.signed,
            one_point=quantizer.binary_point.ndim == 0,
        )
        quantizer.set_format(choice.width, choice.points)

    def _take_first_format(self, cast: Activation) -> None:
        """The format before there is a price."""
        quantizer, longest = cast.quantizer, self._measurements.longest[cast.name]
        choice = first_format(self._measurements.errors[cast.name], longest, quantizer.signed)
        quantizer.set_format(choice.width, choice.points.expand_as(quantizer.binary_point))
