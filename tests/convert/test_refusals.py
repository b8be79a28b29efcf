"""What cannot be converted is said, all of it at once, with the lines that call it."""

from __future__ import annotations

import inspect

import brevitas.nn as qnn
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from brevitas_quantizers import QFXFixedPoint, quantize
from brevitas_quantizers.fixed_point import ConversionError

HERE = "test_refusals.py"
TABLE = "; a layer QuantFunction({}) in its place has one: a table of float64 values"


def line_of(code: str, within: type) -> str:
    """`file:line` of the first line of a class that contains `code`."""
    lines, start = inspect.getsourcelines(within)
    return f"{HERE}:{start + next(i for i, line in enumerate(lines) if code in line)}"


def refused(network: nn.Module, **options) -> str:
    with pytest.raises(ConversionError) as error:
        quantize(network, **options)
    return str(error.value)


def reasons(network: nn.Module) -> list[str]:
    """The problems without their call sites."""
    return [line.strip().rpartition(" (")[0] for line in refused(network).splitlines()[1:]]


class Many(nn.Module):
    """Four things at once that have no fixed-point form, and one that has."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.mish = nn.Mish()
        self.blocks = nn.ModuleList([Gate()])
        self.bias = nn.Parameter(torch.zeros(1, 4, 1, 1))

    def forward(self, x):
        y = self.mish(self.conv(x))
        for block in self.blocks:
            y = block(y)
        return F.relu(y + self.bias).cumsum(1)


class Gate(nn.Module):
    def forward(self, x):
        return torch.sin(x) + x


def test_all_problems_at_once_with_their_call_sites():
    assert refused(Many()).splitlines() == [
        "Many: 4 operation(s) cannot be converted to fixed point:",
        f"  mish: Mish has no fixed-point form{TABLE.format('nn.Mish()')} "
        f"({line_of('self.mish(self', Many)})",
        f"  blocks.0.sin: has no fixed-point form{TABLE.format('torch.sin')} "
        f"({line_of('torch.sin', Gate)})",
        f"  bias: is used in forward without a layer of its own ({line_of('self.bias)', Many)})",
        f"  cumsum: has no fixed-point form ({line_of('cumsum', Many)})",
    ]


def test_layers_of_a_sequential_have_no_line_but_a_name():
    assert refused(nn.Sequential(nn.Linear(3, 4), nn.Mish())).splitlines()[1:] == [
        f"  1: Mish has no fixed-point form{TABLE.format('nn.Mish()')}"
    ]


class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class Length(nn.Module):
    def forward(self, x):
        return sum(x[i] for i in range(int(x.max())))


class Shape(nn.Module):
    def forward(self, x):
        return x + x if x.shape[1] > 3 else x


@pytest.mark.parametrize(
    ("kind", "code"),
    [(Branch, "if x.sum"), (Length, "int(x.max"), (Shape, "x.shape[1] > 3")],
)
def test_control_flow_that_torch_fx_cannot_follow(kind, code):
    text = refused(kind())
    assert text.startswith(
        f"{kind.__name__}: torch.fx cannot follow forward at {line_of(code, kind)}: "
    )
    assert text.endswith(
        "; it must run the same operations for every input, and decide by shapes before, in "
        "__init__ or by an argument with a default"
    )
    assert "\n" not in text


def test_bounds_of_a_hardtanh_stand_in_the_joint_list():
    text = refused(nn.Sequential(nn.Linear(4, 4), nn.Hardtanh(-0.1, 0.5), nn.Mish()))
    assert "1: Hardtanh: min_val must be a multiple of 2**-16, not -0.1" in text
    assert "2: Mish has no fixed-point form" in text


def test_a_single_layer():
    assert refused(nn.Linear(3, 4)) == (
        "Linear: the model must contain its layers as submodules; wrap a single layer in "
        "nn.Sequential"
    )


class Call(nn.Module):
    """Calls one function on the result of a linear layer."""

    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(3, 4), function

    def forward(self, x):
        return self.function(self.linear(x))


CALLS = {
    "add: alpha must be 1 or -1, not 2: multiply first": lambda y: torch.add(y, y, alpha=2),
    "add: what is added must be a finite number, not inf": lambda y: y + float("inf"),
    "truediv: divides by zero": lambda y: y / 0,
    "truediv: divides two tensors: multiply by a table of the divisor's reciprocal, "
    "torch.reciprocal(divisor)": lambda y: y / y,
    "topk: leaves open which of equal values comes first: give the values to the host, or use "
    "argmax or amax, which are exact": lambda y: y.topk(2),
    "div: rounding_mode must be None, not 'floor'": (
        lambda y: torch.div(y, 2, rounding_mode="floor")
    ),
    "argmax: dim must be a dimension of a sample, not the batch, and not None": (
        lambda y: y.argmax()
    ),
    "cat: dim must be 1 (channels), not 0": lambda y: torch.cat([y, y]),
    "dropout: must be off in evaluation: pass training=self.training": lambda y: F.dropout(y),
    "max_pool2d_with_indices: has no fixed-point form": lambda y: F.max_pool2d(
        y, 2, return_indices=True
    ),
    "max_pool2d: dilation must be 1, not 2": lambda y: F.max_pool2d(y, 2, dilation=2),
    "avg_pool2d: its kernel_size must be a constant, not computed in forward": (
        lambda y: F.avg_pool2d(y, y.size(3))
    ),
    "mean: dim must be dimensions of a sample, not the batch, and not 0": lambda y: y.mean(0),
    "clamp: needs numbers as bounds, not 'a' and None": lambda y: y.clamp("a"),
    "logsumexp: has no fixed-point form": lambda y: y.logsumexp(1),
    "linear_1: has no fixed-point form": lambda y: F.linear(y, y),
    "getitem: has no fixed-point form": lambda y: y[:, 0],
}


@pytest.mark.parametrize("text", CALLS)
def test_refused_calls(text):
    assert reasons(Call(CALLS[text])) == [text]


def hooked() -> nn.Module:
    layer = nn.Linear(3, 4)
    layer.register_forward_hook(lambda *_: None)
    return layer


LAYERS = {
    "Conv2d: padding_mode must be 'zeros', not 'circular'": lambda: nn.Conv2d(
        3, 4, 3, padding=1, padding_mode="circular"
    ),
    "Conv2d: padding='same' must be the same on both sides, but the kernel is even": lambda: (
        nn.Conv2d(3, 4, 2, padding="same")
    ),
    "BatchNorm2d: must track running statistics": lambda: nn.BatchNorm2d(
        4, track_running_stats=False
    ),
    "MaxPool2d: return_indices must be False": lambda: nn.MaxPool2d(2, return_indices=True),
    "Flatten: start_dim must be 1, not 0": lambda: nn.Flatten(0),
    "LazyLinear: its parameters are not initialised yet; run one batch first": lambda: (
        nn.LazyLinear(3)
    ),
    "ParametrizedLinear: its parameters are computed by a parametrization; remove that first": (
        lambda: weight_norm(nn.Linear(3, 4))
    ),
    "Linear: has forward hooks, which the conversion would lose; remove them first": hooked,
    "QuantReLU is quantized already": lambda: qnn.QuantReLU(act_quant=QFXFixedPoint),
    "ConvTranspose2d has no fixed-point form": lambda: nn.ConvTranspose2d(3, 4, 3),
}


@pytest.mark.parametrize("text", LAYERS)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_refused_layers(text):
    assert refused(nn.Sequential(LAYERS[text]())).splitlines()[1:] == [f"  0: {text}"]


def test_tied_weights():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    network[2].weight = network[0].weight
    assert refused(network).splitlines()[1:] == [
        "  2.weight: is the same tensor as 0.weight; each needs a format of its own"
    ]


class Overwritten(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.relu = nn.Linear(3, 3), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.linear(x)
        z = self.relu(y)
        return y + z


class OverwrittenView(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        y = self.linear(x)
        z = y.view(-1, 3)
        z += x
        return y + z


def test_overwriting_what_is_read_again_under_another_name():
    assert refused(OverwrittenView()).splitlines()[1:] == [
        f"  add: overwrites 'linear', which is read again ({line_of('z += x', OverwrittenView)})"
    ]


def test_overwriting_what_is_read_again():
    assert refused(Overwritten()).splitlines()[1:] == [
        f"  relu: overwrites 'linear', which is read again ({line_of('self.relu(y)', Overwritten)})"
    ]
