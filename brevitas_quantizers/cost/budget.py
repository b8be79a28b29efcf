"""`HardwareBudget`: one price for a bit of adders decides digits, pruning and word lengths."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from brevitas_quantizers.autograd import exact_exp2
from brevitas_quantizers.autograd.digits import NO_DIGIT
from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors import DigitsQuantizer

from .choice import choose_format, not_worth
from .deployment import luts_of_board
from .formats import BudgetedQuantizer, take_over
from .model import (
    CAST_BITS,
    GROWTH_BITS,
    LUT_PER_BIT,
    all_digits,
    channel_digits,
    cost_of,
    live_digits,
    width_of,
)
from .network import Activation, Layer, read_network
from .report import HardwareCost, report_of
from .statistics import (
    FormatErrors,
    Tap,
    averaged,
    check_output,
    check_task,
    format_errors,
    gradients,
    merge,
    sampled_loss,
    weight_curvature,
)

EVERY = 4
"""Training steps from one measurement of curvature, and choice of formats, to the next."""

_OFTEN = 20  # first steps, of which each one is measured
_ZERO_DECAY = 0.01
_BIAS_BITS = 2
_LAST_BIAS_BITS = 3
_GAIN = 45.0  # of the log price, over the measurements between start and target
_MAX_GAIN = 0.5
_LOWEST_PRICE = 1e-30
_FIRST_SHARE = 0.95
_HALVINGS = 30


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
    A user's own format (`frac_bits`, `integer_bits`) stays as it is.

    Args:
        model: a QFX network with `QFXDigits` weights; changed in place.
        lut: LUTs that the network may cost.
        board: or the board whose LUTs it may take, by name.
        fraction: share of `lut` or of the board's LUTs.
        steps: training steps until the cost has come down to the budget; after them it is held.
        warmup: training steps before the price begins, by default a sixth of `steps`.
        task: `"classification"` (outputs are logits of a softmax over dimension 1) or
            `"regression"` (squared error).
        seed: of the sampled targets.

    Raises:
        OptionError: a value breaks its rule, or the network has nothing to decide about.
        ConversionError: torch.fx cannot trace the model.
    """

    def __init__(
        self,
        model: nn.Module,
        lut: float | None = None,
        *,
        board: str | None = None,
        fraction: float = 1.0,
        steps: int = 2000,
        warmup: int | None = None,
        task: str = "classification",
        seed: int = 0,
    ) -> None:
        self.model = model
        self.lut = _target(lut, board, fraction)
        self.task = check_task(task)
        self.plan(steps, warmup)
        self.network = read_network(model)
        self.layers = [
            layer for layer in self.network.layers if isinstance(layer.quantizer, DigitsQuantizer)
        ]
        if not self.layers:
            raise OptionError(
                f"HardwareBudget: {self.network.name} must have a linear layer or convolution with "
                "weight_quant=QFXDigits, not 0"
            )
        self.casts = [a for a in self.network.activations if _is_free(a)]
        self.longest = {a.name: round(float(a.quantizer.width)) for a in self.casts}
        self._take_over()
        self._taps = {
            part.name: Tap(part.module if isinstance(part, Layer) else part.layer)
            for part in (*self.layers, *self.casts)
        }
        self.errors: dict[str, FormatErrors] = {}
        self.positions: dict[str, int] = {}
        self.gone: dict[str, Tensor] = {}
        self.lut_per_bit = LUT_PER_BIT
        self.price = 0.0
        self.bits = float("nan")
        self.steps_done = 0
        self.frozen = False
        self._start = 0.0
        self._measured = False
        self._digits: dict[str, Tensor] = {}
        self._generators: dict[torch.device, torch.Generator] = {}
        self._seed = seed
        self._open()

    def plan(self, steps: int, warmup: int | None = None) -> None:
        """Set when the cost is to be met; see the constructor.

        Raises:
            OptionError: impossible numbers.
        """
        warmup = steps // 6 if warmup is None else warmup
        if not 0 <= warmup < steps:
            raise OptionError(
                f"HardwareBudget: warmup must be from 0 to less than steps={steps}, not {warmup}"
            )
        self.steps, self.warmup = steps, warmup

    @property
    def due(self) -> bool:
        """Whether the next forward pass is measured: it must not run compiled."""
        early = self.steps_done < _OFTEN
        return not self.frozen and (early or self.steps_done % EVERY == 0)

    @property
    def cost(self) -> float:
        """Estimated LUTs of the network, as of the last measurement."""
        return self.bits * self.lut_per_bit

    def observe(self, output: Tensor) -> None:
        """Measure curvature and formats, where a measurement is due.

        Args:
            output: what the model returned in this training step, before `loss.backward()`.

        Raises:
            OptionError: the output is not that of a forward pass that can be measured.
        """
        if not self.due:
            return
        check_output(output, self.task)
        self._check_taps()
        parts = [*self.layers, *self.casts]
        loss = sampled_loss(output, self.task, self._generator(output.device))
        found = dict(
            zip(
                [part.name for part in parts],
                gradients(loss, [self._taps[part.name].y for part in parts]),
                strict=True,
            )
        )
        self._keep_curvature(found)
        self._keep_errors(found)
        for tap in self._taps.values():
            tap.clear()
        self._measured = True

    def step(self) -> None:
        """Once after every `optimizer.step()`: decide digits and formats, move the price."""
        measured, self._measured = self._measured, False
        active = self.steps_done >= self.warmup
        if active and self.steps_done % EVERY == 0:
            self._decay_zeros()
        if measured and not self.frozen:
            self._decide()
            if active:
                self._move_price()
        self.steps_done += 1
        self._open()

    @torch.no_grad()
    def freeze(self) -> None:
        """Keep price, curvature and formats from now on; codes still follow their weights.

        Half an LSB of the casts that round goes into the bias in front of them: they truncate,
        which gives the same values for fewer LUTs. The network computes the same before and after.
        """
        if self.frozen:
            return
        self.frozen = True
        for tap in self._taps.values():
            tap.handle.remove()
            tap.clear()
        for activation in self.casts:
            _fold_half_lsb(activation)

    def rescale(self, *args: Tensor) -> float:
        """Let alkaid count the LUTs of the present network, and correct the estimate by that.

        Args:
            args: example input, needed unless the network begins with a linear layer.

        Returns:
            The LUTs counted.
        """
        cost = self.hardware_cost()
        exact = cost.exact(*args)
        self.lut_per_bit = exact / max(cost.bits, 1.0)
        return exact

    def hardware_cost(self) -> HardwareCost:
        """The cost of the present network; see `brevitas_quantizers.hardware_cost`."""
        return report_of(self.model, self.network, self.positions, self.lut_per_bit)

    def state_dict(self) -> dict[str, Any]:
        """What a training that is resumed needs besides the model's and the optimizer's state."""
        return {
            "steps_done": self.steps_done,
            "price": self.price,
            "start": self._start,
            "bits": self.bits,
            "lut_per_bit": self.lut_per_bit,
            "frozen": self.frozen,
            "positions": dict(self.positions),
            "gone": {name: gone.clone() for name, gone in self.gone.items()},
            "errors": {name: _as_plain(errors) for name, errors in self.errors.items()},
            "generators": {str(d): g.get_state() for d, g in self._generators.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was called; the model's own state is loaded by itself."""
        self.steps_done, self.price = state["steps_done"], state["price"]
        self._start, self.bits = state["start"], state["bits"]
        self.lut_per_bit = state["lut_per_bit"]
        self.positions = dict(state["positions"])
        self.gone = {name: gone.clone() for name, gone in state["gone"].items()}
        self.errors = {name: _from_plain(item) for name, item in state["errors"].items()}
        for device, generator in state["generators"].items():
            self._generator(torch.device(device)).set_state(generator)
        if state["frozen"] and not self.frozen:
            self.freeze()
        self._open()

    def _take_over(self) -> None:
        for activation in self.casts:
            take_over(activation.proxy, () if activation.is_input else activation.shape)
        for layer in self.layers:
            quantizer = layer.quantizer
            if quantizer.curvature.ndim == 0:
                quantizer.curvature = torch.ones_like(layer.weight)
                price = layer.over_inputs(layer.weight.new_zeros(layer.inputs))
                quantizer.price = price.contiguous()
            bias = layer.bias_quantizer
            if bias is not None and not bias.is_fixed_by_user:
                take_over(layer.module.bias_quant, tuple(layer.module.bias.shape))

    def _open(self) -> None:
        for tap in self._taps.values():
            tap.open = self.due

    def _check_taps(self) -> None:
        for name, tap in self._taps.items():
            if tap.y is None:
                raise OptionError(
                    f"HardwareBudget.observe: {name} was not seen in this step: run the network "
                    "itself in training mode, not a compiled or copied form, where budget.due"
                )

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[device]

    def _keep_curvature(self, found: dict[str, Tensor | None]) -> None:
        measured = {}
        for layer in self.layers:
            tap, gradient = self._taps[layer.name], found[layer.name]
            if gradient is None:
                raise OptionError(f"HardwareBudget.observe: the output does not need {layer.name}")
            measured[layer.name] = weight_curvature(layer, tap.x, gradient)
            self.positions[layer.name] = gradient[0].numel() // layer.weight.shape[0]
        kept = {layer.name: layer.quantizer.curvature for layer in self.layers}
        if self.steps_done == 0:
            for name, values in averaged(measured).items():
                kept[name].copy_(values)
        else:
            merge(kept, measured)

    def _keep_errors(self, found: dict[str, Tensor | None]) -> None:
        for activation in self.casts:
            name = activation.name
            tap, gradient, before = self._taps[name], found[name], self.errors.get(name)
            if gradient is None:
                gradient = torch.zeros_like(tap.y)
            new = format_errors(activation, tap.x, gradient, before, self.longest[name])
            if before is None or before.first_integer != new.first_integer:
                for key, values in averaged(new.tensors()).items():
                    setattr(new, key, values)
                self.errors[name] = new
            else:
                if name in self.gone:  # its gradient is zero only because nothing reads it
                    held = before.curvature
                    new.curvature = torch.where(self.gone[name], held, new.curvature)
                merge(before.tensors(), new.tensors())
                before.lowest = min(before.lowest, new.lowest)
            if activation.channels is not None:
                self.positions[name] = gradient[0].numel() // activation.channels

    @torch.no_grad()
    def _decay_zeros(self) -> None:
        """Latents of zero codes shrink: the optimizer would walk them over the threshold."""
        for layer in self.layers:
            weight, limit = layer.weight, layer.quantizer.largest
            digits = self._digits.get(layer.name)
            if digits is None or self.frozen:
                digits = layer.quantizer.count(weight)
            weight.mul_(1 - (1 - (1 - _ZERO_DECAY) ** EVERY) * (digits == 0))
            weight.copy_(torch.minimum(torch.maximum(weight, -limit), limit))

    @torch.no_grad()
    def _decide(self) -> None:
        """Formats and prices from what was measured, then the cost."""
        digits = {
            layer.name: layer.quantizer.count(layer.weight, self._price_of(layer))
            for layer in self.layers
        }
        digits = all_digits(self.network, digits)
        for activation in self.casts:
            self._decide_format(activation, digits)
        for layer in self.layers:
            price = self._price_of(layer)
            gone = self.gone.get(layer.source.name) if layer.source is not None else None
            if gone is not None:
                each = layer.over_inputs(gone.repeat_interleave(layer.inputs // len(gone)))
                price = torch.where(each, NO_DIGIT, price)
                digits[layer.name] = digits[layer.name] * ~each
            layer.quantizer.price.copy_(price.expand_as(layer.quantizer.price))
            self._decide_bias(layer)
        self._digits = live_digits(self.network, digits)
        self.bits = cost_of(self.network, self._digits, self.positions)

    def _price_of(self, layer: Layer) -> Tensor:
        """Of a digit: as many bits of adder as its input has, and some."""
        bits = width_of(layer.source) + GROWTH_BITS
        price = self.price * bits * self.positions.get(layer.name, 1)
        return layer.quantizer.price.new_full((), price)

    def _decide_format(self, activation: Activation, digits: dict[str, Tensor]) -> None:
        errors, quantizer = self.errors[activation.name], activation.quantizer
        readers = channel_digits(activation, digits)
        places = [self.positions.get(layer.name, 1) for layer in activation.readers]
        load = sum(d * p for d, p in zip(readers, places, strict=True)).to(errors.curvature.dtype)
        if activation.is_input:
            begins = self._start == 0 and self.steps_done >= self.warmup
            if quantizer.signed and begins and errors.lowest >= 0:
                quantizer.set_unsigned()
        elif self.price > 0 and activation.channels is not None:
            gone = not_worth(errors, self.price, GROWTH_BITS * load)
            self.gone[activation.name] = gone
            load = torch.where(gone, 0.0, load + CAST_BITS * self.positions[activation.name])
        choice = choose_format(
            errors,
            self.price,
            load,
            self.longest[activation.name],
            quantizer.signed,
            one_point=quantizer.binary_point.ndim == 0,
        )
        quantizer.set_format(choice.width, choice.points)

    def _decide_bias(self, layer: Layer) -> None:
        quantizer, bias = layer.bias_quantizer, layer.module.bias
        if not isinstance(quantizer, BudgetedQuantizer):
            return
        if layer.sink is not None:
            points = torch.round(layer.sink.quantizer.binary_point).flatten() + _BIAS_BITS
        else:
            points = torch.round(layer.quantizer.binary_point).flatten() + _LAST_BIAS_BITS
        points = points.expand(len(bias))
        codes = float((bias.abs() * exact_exp2(points)).max()) + 1
        quantizer.set_format(min(max(math.ceil(math.log2(codes + 1)) + 1, 2), 24), points)

    def _move_price(self) -> None:
        """Follow a target that falls exponentially from the first cost to the budget."""
        target = self.lut / self.lut_per_bit
        if self._start == 0:
            self._start = max(self.bits, 1.0)
            self.price = self._first_price()
            return
        share = min(1.0, (self.steps_done - self.warmup) / max(1, self.steps - self.warmup))
        now = self._start ** (1 - share) * target**share
        error = math.log(max(self.bits, 1.0) / max(now, target))
        measurements = max(1, (self.steps - self.warmup) // EVERY)
        gain = min(_GAIN / measurements, _MAX_GAIN)
        self.price = max(self.price * math.exp(gain * max(-1.0, min(1.0, error))), _LOWEST_PRICE)

    def _first_price(self) -> float:
        """The price at which the cost of the weights' digits falls by a twentieth."""
        low, high = math.log(_LOWEST_PRICE), -math.log(_LOWEST_PRICE)
        goal = _FIRST_SHARE * self._digit_bits(0.0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._digit_bits(math.exp(middle)) > goal else (low, middle)
        return math.exp(low)

    def _digit_bits(self, price: float) -> float:
        total = 0.0
        for layer in self.layers:
            bits = (width_of(layer.source) + GROWTH_BITS) * self.positions[layer.name]
            each = layer.quantizer.price.new_tensor(price * bits)
            total += float(layer.quantizer.count(layer.weight, each).sum()) * bits
        return total


def _target(lut: float | None, board: str | None, fraction: float) -> float:
    if (lut is None) == (board is None):
        raise OptionError(
            f"HardwareBudget: give lut or board, one of them, not lut={lut!r} and board={board!r}"
        )
    if isinstance(fraction, bool) or not 0 < fraction <= 1:
        raise OptionError(
            f"HardwareBudget: fraction must be above 0 and at most 1, not {fraction!r}"
        )
    found = luts_of_board(board) if lut is None else lut
    if isinstance(found, bool) or not 0 < found < math.inf:
        raise OptionError(f"HardwareBudget: lut must be a positive number of LUTs, not {lut!r}")
    return float(found) * fraction


def _is_free(activation: Activation) -> bool:
    """Whether the budget may choose the format."""
    quantizer = activation.quantizer
    return (
        activation.only_weighted
        and bool(activation.readers)
        and (activation.is_input or activation.producer is not None)
        and not quantizer.is_fixed_by_user
        and not quantizer.options.learn_bit_width
    )


def _fold_half_lsb(activation: Activation) -> None:
    """Round by truncation, with half an LSB in the bias of the layer in front."""
    layer, quantizer = activation.producer, activation.quantizer
    folds = (
        layer is not None
        and layer.sink is activation
        and activation.is_plain
        and isinstance(layer.bias_quantizer, BudgetedQuantizer)
        and not bool(quantizer.truncates)
    )
    if folds:
        bias = layer.module.bias
        half = 0.5 * exact_exp2(-torch.round(quantizer.binary_point)).flatten()
        cast = layer.bias_quantizer(bias)[0] + half
        bias.copy_(cast)
        codes = float((cast.abs() * exact_exp2(layer.bias_quantizer.binary_point)).max()) + 1
        layer.bias_quantizer.set_format(max(math.ceil(math.log2(codes + 1)) + 1, 2))
        quantizer.truncate()


def _as_plain(errors: FormatErrors) -> dict[str, Any]:
    copies = {name: values.clone() for name, values in errors.tensors().items()}
    rest = ("first_integer", "first_fraction", "lowest")
    return copies | {name: getattr(errors, name) for name in rest}


def _from_plain(item: dict[str, Any]) -> FormatErrors:
    copied = {k: v.clone() if isinstance(v, Tensor) else v for k, v in item.items()}
    return FormatErrors(**copied)
