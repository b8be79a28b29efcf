"""A report with every feature: two networks, K-hot, per-channel formats, one executor left out."""

from __future__ import annotations

from brevitas_quantizers.fixed_point.format import FixedPointFormat
from qfx_plugin.report import (
    DatasetSummary,
    DemoReport,
    ExecutorAgreement,
    LearnedFormat,
    ModelResult,
)

SIGNED = FixedPointFormat(6, 0)
CHANNELS = tuple(FixedPointFormat(6, integer_bits) for integer_bits in (-2, -1, -1, 1))


def formats(width: int) -> tuple[LearnedFormat, ...]:
    def fixed(integer_bits: int, signed: bool = True) -> FixedPointFormat:
        return FixedPointFormat(width, integer_bits, signed)

    return (
        LearnedFormat.of("0.act", fixed(1, signed=False), 1.75),
        LearnedFormat.of("1.weight", [fixed(n) for n in (-2, -1, -1, 1)], 0.3),
        LearnedFormat.of("1.bias", fixed(0)),
        LearnedFormat.of("2.act", fixed(3, signed=False), 7.9),
        LearnedFormat.of("3.weight", fixed(0)),
        LearnedFormat.of("3.bias", fixed(-1)),
    )


def agreement(differing: int = 0) -> tuple[ExecutorAgreement, ...]:
    return (
        ExecutorAgreement("torch", 450, 4500, 0, 0.031),
        ExecutorAgreement("qonnx", 450, 4500, differing, 1.42),
        ExecutorAgreement("hls4ml", 450, 4500, 0, 14.8),
    )


def make_report(differing: int = 0) -> DemoReport:
    models = []
    for network, base in (("MLP", 97.11), ("CNN", 98.44)):
        models.append(
            ModelResult(f"{network}, float", base, None, None, 32 * 3466, stages={"train": 4.1})
        )
        for bits, k, lost in ((8, None, 0.0), (6, None, 0.22), (4, None, 1.56), (8, 2, -0.22)):
            stages = {"train": 11.9, "export": 0.41, "verify": 16.3, "compile": 41.0}
            name = f"{network}, QFX {bits}-bit" + (f", K={k}" if k else "")
            models.append(
                ModelResult(
                    name, base - lost, bits, bits, bits * 3466, k, f"{network}, float",
                    formats(bits), agreement(differing), stages,
                )
            )  # fmt: skip
    out_of_range = ExecutorAgreement("qonnx", 450, 0, 0, 0.0, "needs more than 24 bits")
    last = models[-1]
    models[-1] = ModelResult(
        last.name, last.accuracy, 8, 8, last.size_bits, 2, last.baseline, last.formats,
        (last.agreement[0], out_of_range), last.stages,
    )  # fmt: skip
    return DemoReport(
        DatasetSummary("digits", 1347, 450, (1, 8, 8), 10, "scikit-learn's digits, pixels / 16"),
        tuple(models),
        seed=0,
        environment={"python": "3.11.7", "torch": "2.12.1", "brevitas": "0.13.0"},
        seconds=221.4,
    )  # fmt: skip
