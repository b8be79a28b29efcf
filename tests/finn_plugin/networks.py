"""ResNet-8 in the shape of CIFAR-10: residuals whose operands have different binary points."""

from __future__ import annotations

import onnx

from tests.qonnx_models import QonnxBuilder


def resnet8(
    bit_width: int = 8,
    *,
    weight_bit_width: int | None = None,
    k: int | None = None,
    width: int = 8,
    size: int = 32,
    rounding: str = "AP_RND_CONV",
    seed: int = 0,
) -> onnx.ModelProto:
    """Stem, three residual blocks (two of them halve the image), global mean, classifier.

    Args:
        bit_width: of all activations.
        weight_bit_width: of all weights; by default as the activations.
        k: digits of K-hot weights.
        width: channels of the first stage; 16 in the usual network.
        size: pixels of an edge of the image.
        rounding: of all activations.
        seed: of the random weights.
    """
    b = QonnxBuilder((3, size, size), seed)
    weights = weight_bit_width or bit_width
    cast = {"rounding": rounding}
    x = b.quant("x", "x_q", bit_width, bit_width - 2, **cast)
    x = b.conv(x, "stem", (width, 3, 3, 3), weights, pads=[1] * 4, k=k)
    x = b.activation(x, "stem", bit_width, bit_width - 4, **cast)
    previous = width
    for stage, channels in enumerate((width, 2 * width, 4 * width), start=1):
        layer, step = f"stage{stage}", 1 if stage == 1 else 2
        options = {"pads": [1] * 4, "k": k, "per_channel": True}
        shape = (channels, previous, 3, 3)
        branch = b.conv(x, f"{layer}a", shape, weights, strides=[step] * 2, **options)
        branch = b.activation(branch, f"{layer}a", bit_width, bit_width - 5, **cast)
        branch = b.conv(branch, f"{layer}b", (channels, channels, 3, 3), weights, **options)
        branch = b.quant(branch, f"{layer}b_out", bit_width, bit_width - 7, **cast)
        if channels != previous:
            shape = (channels, previous, 1, 1)
            x = b.conv(x, f"{layer}s", shape, weights, strides=[step] * 2, k=k)
            x = b.quant(x, f"{layer}s_out", bit_width, bit_width - 6, **cast)
        x = b.node("Add", [branch, x], f"{layer}_sum")
        x = b.activation(x, layer, bit_width, bit_width - 6, **cast)
        previous = channels
    x = b.node("GlobalAveragePool", [x], "mean")
    x = b.quant(x, "mean_q", bit_width, bit_width - 5, signed=False, **cast)
    x = b.node("Flatten", [x], "flat", axis=1)
    b.linear(x, "fc", (previous, 10), weights, output="logits", k=k)
    return b.model("logits", (10,))
