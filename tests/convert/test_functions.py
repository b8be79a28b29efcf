"""Functions of one number as modules, functions and methods: each becomes an exact table."""

from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers import QFXKHot, calibrate, export_qonnx, learned_formats, quantize
from brevitas_quantizers.fixed_point import ConversionError, OptionError
from brevitas_quantizers.nn import QuantFunction
from brevitas_quantizers.nn.exact_functions import EXACT, known_name
from qfx_plugin import verify_agreement
from tests.convert.helpers import assert_close, converted, prove
from tests.convert.walk import float_arithmetic

WIDE = {"bit_width": 16, "overrides": {QuantFunction: {"input_bit_width": 12}}}


class Between(nn.Module):
    """A linear layer, the function under test, another linear layer."""

    def __init__(self, function):
        super().__init__()
        self.first, self.last = nn.Linear(5, 6), nn.Linear(6, 3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(x)))


def positive(function):
    return lambda y: function(torch.sigmoid(y))


MODULES = {
    "elu": nn.ELU(inplace=True),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "hardshrink": nn.Hardshrink(),
    "hardsigmoid": nn.Hardsigmoid(),
    "hardswish": nn.Hardswish(),
    "logsigmoid": nn.LogSigmoid(),
    "mish": nn.Mish(),
    "selu": nn.SELU(inplace=True),
    "sigmoid": nn.Sigmoid(),
    "silu": nn.SiLU(),
    "softplus": nn.Softplus(),
    "softshrink": nn.Softshrink(),
    "softsign": nn.Softsign(),
    "tanh": nn.Tanh(),
    "tanhshrink": nn.Tanhshrink(),
}
FUNCTIONS = {
    "F.elu": F.elu,
    "F.elu_": lambda y: F.elu_(y),
    "F.gelu": F.gelu,
    "F.gelu, tanh": lambda y: F.gelu(y, approximate="tanh"),
    "F.hardsigmoid": F.hardsigmoid,
    "F.hardshrink": F.hardshrink,
    "F.hardswish": lambda y: F.hardswish(y, inplace=True),
    "F.logsigmoid": F.logsigmoid,
    "F.mish": F.mish,
    "F.selu": F.selu,
    "F.silu": F.silu,
    "F.softplus": F.softplus,
    "F.softshrink": F.softshrink,
    "F.softsign": F.softsign,
    "F.tanhshrink": F.tanhshrink,
    "F.sigmoid": F.sigmoid,
    "torch.sigmoid": torch.sigmoid,
    "torch.special.expit": torch.special.expit,
    "torch.tanh": torch.tanh,
    "torch.exp": torch.exp,
    "torch.abs": torch.abs,
    "torch.absolute": torch.absolute,
    "operator.abs": operator.abs,
    "torch.square": torch.square,
    "torch.sqrt": positive(torch.sqrt),
    "torch.log": positive(torch.log),
    "torch.rsqrt": positive(torch.rsqrt),
    "torch.reciprocal": positive(torch.reciprocal),
    "x ** 2": lambda y: y**2,
    "x ** 3": lambda y: y**3,
    "x ** -0.5": positive(lambda y: y**-0.5),
    "torch.pow": positive(lambda y: torch.pow(y, 0.5)),
    "x.pow": positive(lambda y: y.pow(-1)),
    "torch.arctan": torch.arctan,
    "torch.tan": lambda y: torch.tan(torch.tanh(y)),
    "gate": lambda y: y * y.sigmoid(),
}
METHODS = (
    "abs",
    "absolute",
    "atan",
    "cos",
    "cosh",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "sigmoid",
    "sin",
)
METHODS += ("sinh", "square", "tanh")
POSITIVE_METHODS = ("log", "log1p", "log10", "log2", "reciprocal", "rsqrt", "sqrt")
NETWORKS = (
    {f"nn, {name}": module for name, module in MODULES.items()}
    | FUNCTIONS
    | {f"x.{name}{end}": operator.methodcaller(name + end) for name in METHODS for end in ("", "_")}
    | {
        f"x.{name}{end}": positive(operator.methodcaller(name + end))
        for name in POSITIVE_METHODS
        for end in ("", "_")
    }
)


PROVEN = (
    *(f"nn, {name}" for name in MODULES),
    *("torch.exp", "torch.abs", "torch.square", "torch.sqrt", "torch.log", "torch.rsqrt"),
    *("torch.reciprocal", "gate", "x.tanh_"),
)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_function_becomes_an_exact_table(name, torch_seed):
    network, x = Between(NETWORKS[name]), torch.randn(24, 5)
    model = converted(network, x, **WIDE)
    assert any(isinstance(module, QuantFunction) for module in model.modules())
    assert_close(model, network, x, tolerance=0.02)


@pytest.mark.parametrize("name", PROVEN)
def test_every_executor_computes_the_same(name, torch_seed):
    """Once for each function, however it is spelled."""
    x = torch.randn(16, 5)
    model = converted(Between(NETWORKS[name]), x, bit_width=6)
    exported = export_qonnx(model, x[:1])
    assert float_arithmetic(exported) == []
    required = ["torch", "qonnx", "onnxruntime"]
    agreement = verify_agreement(exported, x.numpy(), torch_model=model, executors=required)
    agreement.raise_if_different(required=required)


def test_each_known_function_is_taken():
    taken = {known_name(module) for module in MODULES.values()}
    taken |= {name for name in EXACT if hasattr(torch, name)}
    assert taken == set(EXACT) - {"exp_neg", "cube"}, "a part of softmax; a power"


@pytest.mark.parametrize("function", [torch.reciprocal, lambda y: y.square().rsqrt()])
def test_infinite_values_are_the_same_on_all_executors(function, torch_seed):
    x = torch.randn(16, 5)
    model = converted(Between(function), x)
    table = next(
        m for m in reversed(list(model.modules())) if getattr(m, "function_name", "")
    )  # its input has a code for zero, and some operands are cast to it
    x[0] = x[0] * 0
    with torch.no_grad():
        model.first.bias.zero_()
    assert table.table().entries.max() == table.output_cast.format.max_code
    prove(model, x)


def formats(network: nn.Module, **options) -> dict[str, tuple[int, bool]]:
    """Width and sign of each activation's format."""
    model = calibrate(quantize(network, **options), [torch.randn(16, 5)])
    return {
        name: (fmt.width, fmt.signed)
        for name, fmt in learned_formats(model).items()
        if not name.endswith((".weight", ".bias"))
    }


def test_signs_follow_the_function_and_what_it_is_given(torch_seed):
    assert formats(Between(F.silu)) == {
        "x_quant.act": (8, True), "silu.input": (8, True), "silu.output": (8, True),
    }  # fmt: skip
    found = formats(Between(lambda y: torch.log(torch.sigmoid(y))))
    assert (found["sigmoid.output"], found["log.input"]) == ((8, False), (8, False))
    assert found["log.output"] == (8, True)
    found = formats(Between(lambda y: torch.tanh(F.relu(y))))
    assert found["tanh.input"] == found["tanh.output"] == (8, False)
    found = formats(Between(lambda y: torch.exp(y) + torch.sigmoid(y)))
    assert found["add_quant.act"] == (8, False)
    assert formats(Between(positive(torch.sqrt)))["sqrt.output"] == (8, False)


def test_options_of_the_call_of_overrides_and_of_inputs(torch_seed):
    found = formats(
        nn.Sequential(Between(nn.SiLU()), nn.Tanh(), nn.Sigmoid()),
        act_bit_width=5,
        input_bit_width=14,
        input_signed=False,
        overrides={
            QuantFunction: {"input_bit_width": 7},
            nn.Tanh: {"input_bit_width": 9, "act_bit_width": 10},
            "2": {"bit_width": 6},
        },
    )
    assert found == {
        "input_quant.act": (14, False),
        "0.function.input": (7, True),
        "0.function.output": (5, True),
        "1.input": (9, True),
        "1.output": (10, True),
        "2.input": (6, True),
        "2.output": (6, False),
    }


def test_too_wide_an_operand_is_refused_with_the_way_out(torch_seed):
    with pytest.raises(OptionError) as error:
        quantize(Between(F.silu), bit_width=16)
    assert str(error.value) == (
        "silu: what a table is given must have at most 12 bits, not 16: say so with "
        "overrides={'silu': {'input_bit_width': 12}}, or for all tables with QuantFunction as the "
        "key"
    )
    found = formats(Between(F.silu), bit_width=16, overrides={"silu": {"input_bit_width": 12}})
    assert (found["silu.input"], found["silu.output"]) == ((12, True), (16, True))
    with pytest.raises(OptionError) as error:
        quantize(Between(F.silu), act_learn_bit_width=True)
    assert "12 bits, not 16: say so with overrides={'silu': {'input_max_bit_width': 12}}" in str(
        error.value
    )
    limits = {QuantFunction: {"input_max_bit_width": 12}}
    assert "silu.input" in formats(Between(F.silu), act_learn_bit_width=True, overrides=limits)


def test_training_places_both_binary_points(torch_seed):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Conv2d(4, 2, 1), nn.Sigmoid())
    x = torch.randn(8, 3, 6, 6)
    model = quantize(network.train())
    model(x).sum().backward()
    assert {"1.input", "1.output", "3.input", "3.output"} <= set(learned_formats(model))
    assert model.get_parameter("0.weight").grad.abs().max() > 0
    prove(model.eval(), x)


def test_k_hot_weights_leave_tables_as_they_are(torch_seed):
    x = torch.randn(8, 5)
    prove(converted(Between(nn.SiLU()), x, quant=QFXKHot), x)


def test_a_module_called_twice_has_a_table_for_each_call(torch_seed):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.act = nn.Linear(5, 5), nn.SiLU()

        def forward(self, x):
            return self.act(self.linear(self.act(self.linear(x))))

    x = torch.randn(8, 5)
    model = converted(Twice(), x)
    assert {"act.input", "act.output", "act_1.input", "act_1.output"} <= set(learned_formats(model))
    prove(model, x)


def test_a_table_of_the_network_stays_as_it_is(torch_seed):
    own = QuantFunction(nn.Mish(), input_bit_width=5, output_bit_width=7)
    network, x = Between(own), torch.randn(16, 5)
    model = converted(network, x)
    found = learned_formats(model)
    assert (found["function.input"].width, found["function.output"].width) == (5, 7)
    assert "first_quant.act" not in found
    prove(model, x)


def reason(network: nn.Module) -> list[str]:
    with pytest.raises(ConversionError) as error:
        quantize(network)
    return [line.strip().rpartition(" (test_")[0] for line in str(error.value).splitlines()[1:]]


def way_out(function: str) -> str:
    return f"; a layer QuantFunction({function}) in its place has one: a table of float64 values"


class Squashed(nn.GELU):
    """A subclass that computes something else."""

    def forward(self, x):
        return torch.sigmoid(1.702 * x)


REFUSED = {
    "alpha of a module": (
        nn.ELU(0.5),
        "function: ELU: alpha must be 1, not 0.5" + way_out("nn.ELU(alpha=0.5)"),
    ),
    "alpha": (
        lambda y: F.elu(y, 0.5),
        "elu: alpha must be 1, not 0.5" + way_out("nn.ELU(alpha=0.5)"),
    ),
    "beta": (
        lambda y: F.softplus(y, beta=2),
        "softplus: beta must be 1, not 2" + way_out("nn.Softplus(beta=2, threshold=20)"),
    ),
    "threshold": (
        nn.Softplus(1, 3),
        "function: Softplus: threshold must be 20, not 3"
        + way_out("nn.Softplus(beta=1, threshold=3)"),
    ),
    "lambd": (
        lambda y: F.softshrink(y, 0.25),
        "softshrink: lambd must be 0.5, not 0.25" + way_out("nn.Softshrink(0.25)"),
    ),
    "RReLU": (
        nn.RReLU(),
        "function: RReLU has no fixed-point form; docs/convert.md lists what has one",
    ),
    "sinc": (torch.sinc, "sinc: has no fixed-point form" + way_out("torch.sinc")),
    "lgamma": (torch.lgamma, "lgamma: has no fixed-point form" + way_out("torch.lgamma")),
    "x.sinc_": (lambda y: y.sinc_(), "sinc: has no fixed-point form" + way_out("torch.sinc")),
    "fifth power": (
        lambda y: y**5,
        "pow: exponent must be one of 2, 3, 0.5, -1, -0.5, not 5; a layer QuantFunction(lambda x: "
        "x**5) has a table of any other",
    ),
    "LogSoftmax": (
        nn.LogSoftmax(1),
        "function: LogSoftmax has no fixed-point form; leave it out at the end of the network: "
        "the largest logit is the same",
    ),
    "log_softmax": (
        lambda y: y.log_softmax(-1),
        "log_softmax: has no fixed-point form; leave it out at the end of the network: the largest "
        "logit is the same",
    ),
    "GroupNorm": (
        nn.GroupNorm(2, 6),
        "function: GroupNorm has no fixed-point form; use BatchNorm, whose statistics are "
        "constants once trained, or say sizes by quantize(..., example=x)",
    ),
    "FractionalMaxPool": (
        nn.FractionalMaxPool2d(2, 2),
        "function: FractionalMaxPool2d has no fixed-point form; docs/convert.md lists what has one",
    ),
    "sum": (
        lambda y: y.sum(),
        "sum: dim must be dimensions of a sample, not the batch, and not None",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_another_function_is_refused(name):
    function, text = REFUSED[name]
    assert reason(Between(function)) == [text]


@pytest.mark.parametrize(
    "layer", [nn.ELU(0.5), nn.Softplus(2), nn.Softplus(1, 3), nn.Hardshrink(0)]
)
def test_the_way_out_leads_out(layer, torch_seed):
    x = torch.randn(16, 5)
    model = converted(Between(QuantFunction(layer)), x)
    assert not model.function.function_name
    prove(model, x)


def test_a_subclass_is_the_function_only_with_its_forward():
    class Named(nn.GELU):
        pass

    assert known_name(Named()) == "gelu"
    assert known_name(Squashed()) == ""


@pytest.mark.slow
def test_hls4ml_computes_the_same(torch_seed):
    x = torch.randn(32, 5)
    model = converted(Between(F.silu), x)
    agreement = verify_agreement(
        export_qonnx(model, x[:1]), x.numpy(), torch_model=model, executors=["torch", "hls4ml"]
    )
    agreement.raise_if_different(required=["torch", "hls4ml"])
