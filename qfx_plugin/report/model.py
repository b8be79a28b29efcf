"""The demo's result as data: frozen, comparable, in and out of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brevitas_quantizers.fixed_point.format import FixedPointFormat
from brevitas_quantizers.text import format_text
from qfx_plugin.errors import DataError
from qfx_plugin.files import parse_json

if TYPE_CHECKING:
    from qfx_plugin.verify import ExecutorAgreement as VerifiedExecutor

REPORT_VERSION = 1


@dataclass(frozen=True)
class LearnedFormat:
    """The formats that training found for one tensor: one, or one for each output channel.

    Attributes:
        tensor: "conv1.weight", "relu1", ...
        formats: `ap_fixed` types; one for the whole tensor, or one for each channel.
        largest: magnitude that its values reach; None if nobody looked.
    """

    tensor: str
    formats: tuple[FixedPointFormat, ...]
    largest: float | None = None

    @classmethod
    def of(
        cls,
        tensor: str,
        formats: FixedPointFormat | Sequence[FixedPointFormat],
        largest: float | None = None,
    ) -> LearnedFormat:
        """From one format or several, as `learned_formats` gives them."""
        several = (formats,) if isinstance(formats, FixedPointFormat) else tuple(formats)
        return cls(tensor, several, largest)

    @property
    def representable(self) -> float:
        """The largest magnitude that the widest of the formats holds."""
        return max(max(-float(fmt.min), float(fmt.max)) for fmt in self.formats)

    @property
    def used(self) -> float | None:
        """Part of the representable range that the values use; None if nobody looked."""
        return None if self.largest is None else self.largest / self.representable

    @property
    def channels(self) -> int:
        """How many formats there are: 1 for the whole tensor."""
        return len(self.formats)

    @property
    def lsb_exponents(self) -> tuple[int, int]:
        """Smallest and largest exponent n of an LSB 2**n, over the channels."""
        exponents = [-fmt.frac_bits for fmt in self.formats]
        return min(exponents), max(exponents)

    @property
    def top_exponents(self) -> tuple[int, int]:
        """Smallest and largest n of the bound 2**n on magnitudes, over the channels."""
        exponents = [fmt.integer_bits - fmt.signed for fmt in self.formats]
        return min(exponents), max(exponents)

    @property
    def summary(self) -> str:
        """`ap_fixed<6,1>`, or `16 x ap_fixed<6,-1..1>` when channels differ."""
        return format_text(self.formats)


@dataclass(frozen=True)
class ExecutorAgreement:
    """One executor compared with the integer interpreter, code by code.

    Attributes:
        executor: "torch", "qonnx", "hls4ml", ...
        samples: inputs compared.
        compared: integer codes compared; 0 if the executor was left out (then see `note`).
        differing: codes that are not equal.
        seconds: time the executor took.
        note: why it was left out, or what else a reader must know.
    """

    executor: str
    samples: int
    compared: int
    differing: int
    seconds: float
    note: str = ""

    @classmethod
    def of(cls, entry: VerifiedExecutor) -> ExecutorAgreement:
        """From an executor's entry in what `qfx_plugin.verify.verify` returns."""
        return cls(
            entry.name, entry.samples, entry.codes, entry.differing, entry.seconds,
            entry.reason or "",
        )  # fmt: skip


@dataclass(frozen=True)
class ModelResult:
    """One trained network.

    Attributes:
        name: row title, unique in the report: "CNN, QFX 6-bit".
        accuracy: of the test split, in percent.
        weight_bits: word length of weights, in bits; `None` for float.
        act_bits: word length of activations, in bits; `None` for float.
        k: most signed powers of two in a weight; `None` if weights are not K-hot.
        size_bits: all weights and biases together, in bits.
        baseline: name of the float row to compare with; `None` for a float row.
        formats: learned formats, in the order of the network.
        agreement: executors compared; empty for float.
        stages: seconds for each stage: {"train": 12.3, "export": 0.4, ...}.
    """

    name: str
    accuracy: float
    weight_bits: int | None
    act_bits: int | None
    size_bits: int
    k: int | None = None
    baseline: str | None = None
    formats: tuple[LearnedFormat, ...] = ()
    agreement: tuple[ExecutorAgreement, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_float(self) -> bool:
        """Whether this is a float network."""
        return self.weight_bits is None


@dataclass(frozen=True)
class DatasetSummary:
    """What a reader must know of the data.

    Attributes:
        name: "digits", "mnist", ...
        train_samples: images trained on.
        test_samples: images that accuracy and agreement are measured on.
        image_shape: (channels, height, width).
        classes: number of classes.
        source: where the images come from, and how they were scaled.
    """

    name: str
    train_samples: int
    test_samples: int
    image_shape: tuple[int, ...]
    classes: int
    source: str = ""


@dataclass(frozen=True)
class DemoReport:
    """Everything the demo found out.

    Attributes:
        dataset: the data.
        models: one row each, in order of the table.
        seed: of weights and sample order.
        environment: versions by name: {"torch": "2.12.1", ...}.
        seconds: wall-clock time of the whole demo.
        version: of this layout in JSON.
    """

    dataset: DatasetSummary
    models: tuple[ModelResult, ...]
    seed: int
    environment: Mapping[str, str]
    seconds: float
    version: int = REPORT_VERSION

    def drop(self, model: ModelResult) -> float | None:
        """Accuracy lost against the float baseline, in points; `None` without baseline."""
        for other in self.models:
            if other.name == model.baseline:
                return other.accuracy - model.accuracy
        return None

    @property
    def compared(self) -> int:
        """Codes compared, over all models and executors."""
        return sum(entry.compared for model in self.models for entry in model.agreement)

    @property
    def differing(self) -> int:
        """Codes that differ, over all models and executors."""
        return sum(entry.differing for model in self.models for entry in model.agreement)

    @property
    def proven(self) -> bool:
        """Whether something was compared of every quantized model, and nothing differs."""
        quantized = [model for model in self.models if not model.is_float or model.agreement]
        compared = [any(entry.compared for entry in model.agreement) for model in quantized]
        return bool(compared) and all(compared) and self.differing == 0

    def to_json(self) -> str:
        """As JSON text; formats are written as `ap_fixed<w,i>`."""
        return json.dumps(asdict(self, dict_factory=_plain), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> DemoReport:
        """From the text of `to_json`.

        Raises:
            DataError: no JSON, no report, or a report of another version.
        """
        try:
            data = parse_json(text)
        except ValueError as error:
            raise DataError(f"demo report: not JSON: {error}") from error
        version = data.get("version") if isinstance(data, dict) else None
        if version != REPORT_VERSION:
            raise DataError(f"demo report: version must be {REPORT_VERSION}, not {version!r}")
        try:
            return cls(**data | _parts(data))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"demo report: a field is missing or unknown: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> DemoReport:
        """Read a JSON file.

        Raises:
            DataError: it cannot be read, or holds no report.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        except ValueError as error:  # no UTF-8
            raise DataError(f"{path}: is no report: {error}") from error


def _plain(items: list[tuple[str, Any]]) -> dict[str, Any] | str:
    """A dataclass's fields for JSON: a format as its `ap_fixed` type, all else as a dict."""
    plain = dict(items)
    if plain.keys() == {"width", "integer_bits", "signed"}:
        return str(FixedPointFormat(**plain))
    return plain


def _parts(data: dict[str, Any]) -> dict[str, Any]:
    dataset = data["dataset"] | {"image_shape": tuple(data["dataset"]["image_shape"])}
    return {
        "dataset": DatasetSummary(**dataset),
        "models": tuple(_model(entry) for entry in data["models"]),
    }


def _model(data: dict[str, Any]) -> ModelResult:
    formats = tuple(
        LearnedFormat(
            entry["tensor"],
            tuple(FixedPointFormat.parse(fmt) for fmt in entry["formats"]),
            entry.get("largest"),
        )
        for entry in data["formats"]
    )
    agreement = tuple(ExecutorAgreement(**entry) for entry in data["agreement"])
    return ModelResult(**data | {"formats": formats, "agreement": agreement})
