"""The table of networks that have to survive export and import."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import brevitas.nn as qnn
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers import (
    QFXFixedPoint,
    QFXKHot,
    calibrate,
    freeze_binary_points,
    quantize,
)
from brevitas_quantizers.fixed_point import OverflowMode, RoundingMode
from brevitas_quantizers.nn import (
    QuantAdd,
    QuantAvgPool2d,
    QuantBatchNorm1d,
    QuantBatchNorm2d,
    QuantCat,
    QuantGlobalAvgPool2d,
    QuantMaxPool2d,
    QuantRPReLU,
)
from tests.networks import MobileNet, ResNet20
from tests.nn.networks import LAYERS

FIXED = {"act_quant": QFXFixedPoint}
W = {"weight_quant": QFXFixedPoint}
WB = {**W, "bias_quant": QFXFixedPoint}
NAMED_ROUNDINGS = [mode for mode in RoundingMode if mode is not RoundingMode.AP_RND_MIN_INF]


@dataclass(frozen=True)
class Entry:
    """A network and the shapes of its inputs, without batch; none where it has one itself."""

    build: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...] = ()

    def trained(self) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The network after calibration and a few steps, and a batch."""
        model = self.build()
        shapes = self.shapes or (model.shape,)
        batch = tuple(torch.randn(6, *shape) * 2 + 0.3 for shape in shapes)
        if len(batch) == 1:
            calibrate(model, [batch[0]])
        model.train()
        optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.05)
        for _ in range(2):
            y = model(*batch)
            ys = y if isinstance(y, tuple) else (y,)
            sum(((part - torch.randn_like(part)) ** 2).mean() for part in ys).backward()
            optimizer.step()
            optimizer.zero_grad()
        return model.eval(), batch


def mlp(**options: object) -> nn.Module:
    """Two linear layers; the first options are of weights."""
    return nn.Sequential(
        qnn.QuantIdentity(**FIXED, bit_width=6),
        qnn.QuantLinear(12, 9, **(WB | options), weight_bit_width=5),
        qnn.QuantReLU(**FIXED, bit_width=5),
        qnn.QuantLinear(9, 4, bias=False, **W),
    )


def cnn(weight_quant: type = QFXFixedPoint, **weight: object) -> nn.Module:
    """Two convolutions with max pools and a classifier."""
    weights = {"weight_quant": weight_quant, "bias_quant": QFXFixedPoint, **weight}
    return nn.Sequential(
        qnn.QuantIdentity(**FIXED),
        qnn.QuantConv2d(1, 4, 3, padding=1, **weights),
        qnn.QuantReLU(**FIXED, bit_width=6, rounding="AP_RND"),
        nn.MaxPool2d(2),
        qnn.QuantConv2d(4, 6, 3, stride=2, padding=1, groups=2, **weights),
        qnn.QuantReLU(**FIXED, bit_width=6, overflow="AP_SAT_SYM"),
        nn.Flatten(),
        qnn.QuantLinear(24, 5, **weights),
    )


def activation_modes(rounding: RoundingMode, overflow: OverflowMode) -> nn.Module:
    """Input, ReLU and output with one pair of modes."""
    act = {**FIXED, "bit_width": 4, "rounding": rounding.value, "overflow": overflow.value}
    return nn.Sequential(
        qnn.QuantIdentity(**act),
        qnn.QuantLinear(6, 5, bias=False, **W),
        qnn.QuantReLU(**act),
        qnn.QuantLinear(5, 3, bias=False, **W),
        qnn.QuantIdentity(**act),
    )


def weight_modes(rounding: RoundingMode, overflow: OverflowMode) -> nn.Module:
    """A weight and a bias with one pair of modes, coarse enough that all of it matters."""
    modes = {
        f"{slot}_{name}": value
        for slot in ("weight", "bias")
        for name, value in (("rounding", rounding.value), ("overflow", overflow.value))
    }
    return nn.Sequential(
        qnn.QuantIdentity(**FIXED, bit_width=5),
        qnn.QuantLinear(7, 5, **WB, **modes, weight_bit_width=3, weight_frac_bits=3),
    )


def per_channel_activations() -> nn.Module:
    """Binary points that differ by channel, in front of depthwise convolutions."""
    act = {**FIXED, "scaling_per_output_channel": True}
    return nn.Sequential(
        qnn.QuantIdentity(**act, per_channel_broadcastable_shape=(1, 3, 1, 1)),
        qnn.QuantConv2d(3, 6, 3, groups=3, weight_scaling_per_output_channel=True, **W, bias=False),
        qnn.QuantReLU(**act, per_channel_broadcastable_shape=(1, 6, 1, 1), bit_width=5),
        qnn.QuantConv2d(6, 2, 1, weight_scaling_per_output_channel=True, **W, bias=False),
    )


def depthwise() -> nn.Module:
    """Depthwise separable convolution with batch norms."""
    return nn.Sequential(
        qnn.QuantIdentity(**FIXED),
        qnn.QuantConv2d(4, 4, 3, padding=1, groups=4, bias=False, **W),
        QuantBatchNorm2d(4, weight_bit_width=6),
        qnn.QuantReLU(**FIXED),
        qnn.QuantConv2d(4, 8, 1, bias=False, **W),
        QuantBatchNorm2d(8, momentum=None, eps=1e-3),
        qnn.QuantReLU(**FIXED),
        QuantGlobalAvgPool2d(),
        nn.Flatten(),
        qnn.QuantLinear(8, 3, **WB),
    )


class Shared(nn.Module):
    """One quantizer for several layers and calls, one layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(**FIXED, bit_width=6)
        self.first = qnn.QuantLinear(6, 6, bias=False, **W)
        self.act1 = qnn.QuantReLU(**FIXED)
        with warnings.catch_warnings():  # Brevitas mentions the ReLU, which is no option
            warnings.simplefilter("ignore", UserWarning)
            self.act2 = qnn.QuantReLU(act_quant=self.act1.act_quant)
            self.add = QuantAdd(output_quant=self.entry.act_quant)
        self.second = qnn.QuantLinear(6, 6, bias=False, weight_quant=self.first.weight_quant)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = self.act2(self.second(self.act1(self.first(x))))
        return self.add(self.act1(self.first(y)), x)


class Reused(nn.Module):
    """Layers with two names, called twice; a layer of parts; two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(**FIXED)
        self.block = nn.Sequential(qnn.QuantLinear(6, 6, **WB), qnn.QuantReLU(**FIXED))
        self.again = self.block
        self.shift = QuantRPReLU(6, 0)
        self.shift_again = self.shift
        self.coarse = qnn.QuantLinear(6, 6, **WB, weight_bit_width=3)
        self.fine = qnn.QuantLinear(6, 6, **WB, weight_bit_width=7)
        self.fine.weight = self.coarse.weight
        self.add = QuantAdd(output_quant=QFXFixedPoint)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shift(self.block(self.entry(x)))
        x = self.shift_again(self.again(self.coarse(x)))
        return self.add(self.add(self.fine(x), x), x)


class TwoInputs(nn.Module):
    """Several inputs, several outputs, functions between layers."""

    def __init__(self) -> None:
        super().__init__()
        self.left = qnn.QuantIdentity(**FIXED, bit_width=5)
        self.right = qnn.QuantIdentity(**FIXED, bit_width=7)
        self.conv = qnn.QuantConv2d(2, 3, 3, padding=1, **WB)
        self.cat = QuantCat(output_quant=QFXFixedPoint, output_bit_width=6)
        self.pool = QuantMaxPool2d(2, output_quant=QFXFixedPoint)
        self.mean = QuantAvgPool2d((2, 1), (2, 1), output_quant=QFXFixedPoint)
        self.drop = nn.Dropout(0.3)
        self.fc = qnn.QuantLinear(40, 3, bias=False, **W)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.left(x), self.right(y)
        z = self.cat([self.conv(x), y])
        z = self.mean(self.pool(z) + F.max_pool2d(z, 2))
        flat = z.view(z.size(0), -1)
        return self.fc(self.drop(flat)), torch.relu(flat)


class Slots(nn.Module):
    """Input and output quantizers on the layers themselves."""

    def __init__(self) -> None:
        super().__init__()
        casts = {"input_quant": QFXFixedPoint, "output_quant": QFXFixedPoint}
        self.conv = qnn.QuantConv1d(2, 4, 3, padding=1, **WB, **casts, output_rounding="AP_RND")
        self.bn = QuantBatchNorm1d(4, **casts, input_bit_width=6)
        self.out = qnn.QuantConv1d(4, 2, 3, dilation=2, **WB, **casts, input_rounding="AP_TRN")

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.bn(self.conv(x)))


class InputCasts(nn.Module):
    """Input quantizers of layers without constants: activations, sums, behind a dropout."""

    def __init__(self) -> None:
        super().__init__()
        casts = {"input_quant": QFXFixedPoint, "input_bit_width": 4, "input_rounding": "AP_RND"}
        self.conv = qnn.QuantConv2d(2, 4, 3, padding=1, **WB, input_quant=QFXFixedPoint)
        self.drop = nn.Dropout(0.2)
        self.relu = qnn.QuantReLU(**FIXED, **casts)
        self.clip = qnn.QuantHardTanh(**FIXED, **casts, min_val=-1.0, max_val=0.5)
        self.other = qnn.QuantHardTanh(**FIXED, **casts, min_val=-0.5, max_val=1.0)
        self.add = qnn.QuantEltwiseAdd(output_quant=QFXFixedPoint, **casts)
        self.plain_add = qnn.QuantEltwiseAdd(output_quant=None, **casts)
        self.bare = qnn.QuantReLU(act_quant=None, **casts)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.drop(self.conv(x)))
        y = self.add(self.clip(x), self.other(x))
        y = self.add(y, x)
        return self.bare(self.plain_add(y, y))


class Functions(nn.Module):
    """Brevitas' other activations, transposes and reshapes."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(**FIXED)
        self.clip = qnn.QuantHardTanh(**FIXED, min_val=-1.0, max_val=0.5, bit_width=6)
        self.fc = qnn.QuantLinear(5, 4, **WB)
        self.out = qnn.QuantIdentity(**FIXED, signed=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        y = self.clip(x).transpose(1, 2)
        y = F.relu6(self.fc(y)).unsqueeze(1).squeeze(1)
        return self.out(y.flatten(1))


def learned_widths() -> nn.Module:
    """Word lengths that train, gradients scaled, an accumulator bound."""
    return nn.Sequential(
        qnn.QuantIdentity(**FIXED, learn_bit_width=True, bit_width=5),
        qnn.QuantLinear(
            8, 6, **WB, weight_learn_bit_width=True, weight_bit_width=4,
            weight_binary_point_grad_scale="lsq", bias_binary_point_gradient="ste",
        ),
        qnn.QuantReLU(**FIXED, binary_point_init="max"),
        qnn.QuantLinear(
            6, 3, bias=False, **W, weight_rounding="AP_TRN_ZERO",
            weight_accumulator_bit_width=14, weight_accumulator_input_bit_width=8,
            weight_scaling_per_output_channel=True,
        ),
    )  # fmt: skip


def frozen() -> nn.Module:
    """Binary points that have stopped, statistics too, and a weight that does not train."""
    model = nn.Sequential(
        qnn.QuantIdentity(**FIXED, integer_bits=3),
        qnn.QuantLinear(6, 5, **WB),
        QuantBatchNorm1d(5).freeze_statistics(),
        qnn.QuantReLU(**FIXED, learn_binary_point=False),
        qnn.QuantLinear(5, 2, bias=False, **W),
    )
    model[4].weight.requires_grad_(False)
    calibrate(model, [torch.randn(8, 6)])
    return freeze_binary_points(model)


class Float(nn.Module):
    """What `quantize` starts from: functions, reused modules, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.PReLU(4)
        self.leaky = nn.LeakyReLU(0.125)
        self.drop = nn.Dropout2d(0.25)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(x)))
        y = torch.cat([self.drop(y), self.leaky(y) * y], 1)
        return self.fc(F.adaptive_avg_pool2d(y, 1).flatten(1))


NETWORKS: dict[str, Entry] = {
    "mlp": Entry(mlp, ((12,),)),
    "mlp per channel": Entry(lambda: mlp(weight_scaling_per_output_channel=True), ((12,),)),
    "mlp in 3-d": Entry(mlp, ((5, 12),)),
    "cnn": Entry(cnn, ((1, 8, 8),)),
    "cnn per channel": Entry(
        lambda: cnn(weight_scaling_per_output_channel=True, bias_scaling_per_output_channel=True),
        ((1, 8, 8),),
    ),
    **{
        f"cnn {k}-hot {digits}": Entry(
            lambda k=k, digits=digits: cnn(QFXKHot, weight_k=k, weight_digits=digits),
            ((1, 8, 8),),
        )
        for k, digits in ((1, "signed"), (2, "signed"), (3, "signed"), (2, "binary"))
    },
    "per-channel activations": Entry(per_channel_activations, ((3, 6, 6),)),
    "depthwise": Entry(depthwise, ((4, 6, 6),)),
    "shared quantizers": Entry(Shared, ((6,),)),
    "reused layers": Entry(Reused, ((6,),)),
    "two inputs": Entry(TwoInputs, ((2, 8, 8), (2, 8, 8))),
    "slots of layers": Entry(Slots, ((2, 9),)),
    "input casts": Entry(InputCasts, ((2, 4, 4),)),
    "other functions": Entry(Functions, ((5, 3),)),
    "learned widths": Entry(learned_widths, ((8,),)),
    "frozen": Entry(frozen, ((6,),)),
    "quantize": Entry(lambda: quantize(Float(), bit_width=6), ((2, 6, 6),)),
    "quantize folded": Entry(
        lambda: quantize(Float(), bit_width=6, fold_batchnorm=True), ((2, 6, 6),)
    ),
    **{f"layer {name}": Entry(lambda build=build: build(6)) for name, build in LAYERS.items()},
}

LARGE: dict[str, Entry] = {
    "resnet20": Entry(lambda: quantize(ResNet20(width=8), bit_width=6), ((3, 32, 32),)),
    "mobilenet": Entry(
        lambda: quantize(MobileNet(width=8, activation=nn.ReLU6), bit_width=6), ((3, 32, 32),)
    ),
}
