"""What cannot be converted is said, all of it at once, with the lines that call it."""

from __future__ import annotations

import inspect
import warnings

import brevitas.nn as qnn
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from brevitas_quantizers import QFXFixedPoint, quantize
from brevitas_quantizers.fixed_point import ConversionError

HERE = "test_refusals.py"
LISTED = "; docs/convert.md lists what has one"
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
    """Three things at once that have no fixed-point form, and two that have."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.odd = nn.RReLU()
        self.blocks = nn.ModuleList([Gate()])
        self.bias = nn.Parameter(torch.zeros(1, 4, 1, 1))

    def forward(self, x):
        y = self.odd(self.conv(x))
        for block in self.blocks:
            y = block(y)
        return F.relu(y + self.bias).cumprod(1)


class Gate(nn.Module):
    def forward(self, x):
        return torch.sinc(x) + x


def test_all_problems_at_once_with_their_call_sites():
    assert refused(Many()).splitlines() == [
        "Many: 3 operation(s) cannot be converted to fixed point:",
        f"  odd: RReLU has no fixed-point form{LISTED} ({line_of('self.odd(self', Many)})",
        f"  blocks.0.sinc: has no fixed-point form{TABLE.format('torch.sinc')} "
        f"({line_of('torch.sinc', Gate)})",
        f"  cumprod: has no fixed-point form{LISTED} ({line_of('cumprod', Many)})",
    ]


def test_layers_of_a_sequential_have_no_line_but_a_name():
    assert refused(nn.Sequential(nn.Linear(3, 4), nn.RReLU())).splitlines()[1:] == [
        f"  1: RReLU has no fixed-point form{LISTED}"
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


class Unnamed(nn.Module):
    """Takes any number of inputs."""

    def forward(self, *given):
        return given[0] + given[1]


def test_inputs_have_names():
    assert refused(Unnamed()) == (
        "Unnamed: forward must name its inputs, not take them as *given: how many there are would "
        "be open"
    )


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
        "; it must run the same operations for every input; where shapes decide, give "
        "quantize(..., example=x) one batch"
    )
    assert "\n" not in text


def test_bounds_of_a_hardtanh_stand_in_the_joint_list():
    text = refused(nn.Sequential(nn.Linear(4, 4), nn.Hardtanh(-0.1, 0.5), nn.RReLU()))
    assert "1: Hardtanh: min_val must be a multiple of 2**-16, not -0.1" in text
    assert "2: RReLU has no fixed-point form" in text


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


RANKINGS = {
    f"{name}: leaves open which of equal values comes first: return what it ranks, and call it on "
    "the host, on the values that come out (behind a softmax, with drop_tail=True), or use argmax, "
    "amax or topk(1), which are exact": function
    for name, function in {
        "argsort": lambda y: y.argsort(1),
        "kthvalue": lambda y: y.kthvalue(2, 1).values,
        "median": lambda y: torch.median(y, 1).indices,
        "msort": lambda y: torch.msort(y),
        "sort": lambda y: torch.sort(y, 1)[0][..., :2],
        "topk": lambda y: y.topk(2),
    }.items()
}
CALLS = RANKINGS | {
    "add: alpha must be 1 or -1, not 2: multiply first": lambda y: torch.add(y, y, alpha=2),
    "add: what is added must be a finite number, not inf": lambda y: y + float("inf"),
    "truediv: divides by zero": lambda y: y / 0,
    "mul: computes with a size of a tensor: quantize(..., example=x) tells it, unless it is the "
    "batch's": lambda y: y * y.shape[1] ** -0.5,
    "div: divides two tensors: multiply by a table of the divisor's reciprocal, "
    "torch.reciprocal(divisor)": lambda y: torch.div(input=y, other=y),
    "unfold: has no fixed-point form; quantize(..., example=x) must tell its sizes": (
        lambda y: F.unfold(y[:, None], 2)
    ),
    "embedding_bag: has no fixed-point form; a layer nn.Embedding has one: a table; sum its rows "
    "for an EmbeddingBag": (lambda y: F.embedding_bag(y, torch.ones(4, 2))),
    "div: rounding_mode must be None, not 'floor'": (
        lambda y: torch.div(y, 2, rounding_mode="floor")
    ),
    "argmax: dim must be a dimension of a sample, not the batch, and not None": (
        lambda y: y.argmax()
    ),
    "cat: dim must be any but the batch, not 0": lambda y: torch.cat([y, y]),
    "dropout: must be off in evaluation: pass training=self.training": lambda y: F.dropout(y),
    f"max_pool2d_with_indices: has no fixed-point form{LISTED}": lambda y: F.max_pool2d(
        y, 2, return_indices=True
    ),
    "max_pool2d: dilation must be 1, not 2": lambda y: F.max_pool2d(y, 2, dilation=2),
    "avg_pool2d: its kernel_size must be a constant, not computed in forward": (
        lambda y: F.avg_pool2d(y, y.size(3))
    ),
    "mean: dim must be dimensions of a sample, not the batch, and not 0": lambda y: y.mean(0),
    "clamp: needs numbers as bounds, not 'a' and None": lambda y: y.clamp("a"),
    f"logsumexp: has no fixed-point form{LISTED}": lambda y: y.logsumexp(1),
    f"linear_1: has no fixed-point form{LISTED}": lambda y: F.linear(y, y),
    "getitem: index must begin with a colon, for the batch, not 0": lambda y: y[0],
}


@pytest.mark.parametrize("text", CALLS)
def test_refused_calls(text):
    assert reasons(Call(CALLS[text])) == [text]


def normed() -> nn.Module:
    with warnings.catch_warnings():  # torch has another one now
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(nn.Linear(3, 4))


def hooked() -> nn.Module:
    layer = nn.Linear(3, 4)
    layer.register_forward_hook(lambda *_: None)
    return layer


LAYERS = {
    "Upsample: mode must be 'nearest' or 'bilinear', not 'bicubic'": lambda: nn.Upsample(
        scale_factor=2, mode="bicubic"
    ),
    "Upsample: scale_factor must be a whole number, not 1.5, or quantize(..., example=x) must "
    "tell the sizes": lambda: nn.Upsample(scale_factor=1.5),
    "ConstantPad2d: value must be 0, not 1.0, or finite with quantize(..., example=x)": (
        lambda: nn.ConstantPad2d(1, 1.0)
    ),
    "Unflatten: dim must be at least 1, not 0: it would divide the batch": lambda: nn.Unflatten(
        0, (2, 2)
    ),
    "BatchNorm2d: must track running statistics": lambda: nn.BatchNorm2d(
        4, track_running_stats=False
    ),
    "MaxPool2d: return_indices must be False": lambda: nn.MaxPool2d(2, return_indices=True),
    "Flatten: start_dim must be at least 1, not 0: it would join the batch": lambda: nn.Flatten(0),
    "LazyLinear: its parameters are not initialised yet; run one batch first": lambda: (
        nn.LazyLinear(3)
    ),
    "ParametrizedLinear: its parameters are computed by a parametrization; remove that first": (
        lambda: weight_norm(nn.Linear(3, 4))
    ),
    "Linear: its weight is computed by a hook; call nn.utils.remove_weight_norm first": normed,
    "Linear: has forward hooks, which the conversion would lose; remove them first": hooked,
    "QuantReLU is quantized already": lambda: qnn.QuantReLU(act_quant=QFXFixedPoint),
    f"ConvTranspose3d has no fixed-point form{LISTED}": lambda: nn.ConvTranspose3d(3, 4, 3),
}


@pytest.mark.parametrize("text", LAYERS)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
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


class Tower(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(depth))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.act = nn.Linear(4, 4), nn.GroupNorm(2, 4), nn.RReLU()

    def forward(self, x):
        return torch.special.i0(self.act(self.norm(self.linear(x)))).log_softmax(1)


def test_one_line_for_each_kind_with_counts_and_examples():
    text = refused(Tower(40)).splitlines()
    line = line_of("torch.special", Block)
    assert text[0] == ("Tower: 160 operation(s) of 5 kinds cannot be converted to fixed point:")
    assert text[1] == (
        "  blocks.0.norm: GroupNorm has no fixed-point form; use BatchNorm, whose statistics are "
        f"constants once trained, or say sizes by quantize(..., example=x) ({line}); so are "
        "blocks.1.norm, blocks.2.norm and 37 more"
    )
    assert text[2].startswith(
        "  blocks.0.act: RReLU has no fixed-point form; docs/convert.md lists"
    )
    assert text[2].endswith("; so are blocks.1.act, blocks.2.act and 37 more")
    assert len(text) == 6
    assert "  blocks.0.log_softmax: has no fixed-point form; leave it out at the end" in text[4]


def test_numbers_that_differ_are_one_kind():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ELU(2.0), nn.ELU(3.0))
    lines = refused(network).splitlines()
    assert len(lines) == 3 - 1


ADVICE = {
    nn.GroupNorm: ((2, 4), "use BatchNorm"),
    nn.InstanceNorm2d: ((4,), "use BatchNorm"),
    nn.LogSoftmax: ((1,), "quantize(..., drop_tail=True) leaves it to the host"),
}


@pytest.mark.parametrize("kind", ADVICE)
def test_each_refusal_has_a_remedy(kind):
    arguments, advice = ADVICE[kind]
    text = refused(nn.Sequential(nn.Linear(4, 4), kind(*arguments)))
    assert f"1: {kind.__name__} has no fixed-point form; " in text
    assert advice in text
