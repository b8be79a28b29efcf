"""What a FINN model's integer streams mean: the codes that go in and come out.

FINN streams integers, channels last. Binary points, the cast of the float input and the order of
the elements are facts of ours, kept beside the model as JSON in its metadata.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brevitas_quantizers.fixed_point import cast_codes

from ..errors import DataError, ModelFileError

METADATA_KEY = "qfx_contract"
VERSION = 1
_WHOLE = re.compile(r"(U)?INT(\d+)")


@dataclass(frozen=True)
class FinnStream:
    """One stream.

    Attributes:
        name: tensor of the original network; for an input, the float one.
        shape: shape of one sample there.
        stream_shape: shape of one sample in FINN: (height, width, channels) or (features,).
        order: which element of the network's tensor each element of the stream is; empty for the
            usual order, channels last.
        frac_bits: binary point of the codes, one or one per channel of the network.
    """

    name: str
    shape: tuple[int, ...]
    stream_shape: tuple[int, ...]
    order: tuple[int, ...]
    frac_bits: tuple[int, ...]

    def to_stream(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """(batch, *shape) codes as the stream has them."""
        flat = codes.reshape(len(codes), prod(self.shape))[:, self._elements()]
        return flat.reshape(len(codes), *self.stream_shape)

    def from_stream(self, stream: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `to_stream`."""
        flat = stream.reshape(len(stream), prod(self.shape))[:, np.argsort(self._elements())]
        return flat.reshape(len(stream), *self.shape)

    def has_type(self, kind: str) -> bool:
        """Whether FINN's type, such as `DataType['UINT4']`, may be that of the codes."""
        return True

    def _elements(self) -> NDArray[np.int64]:
        if self.order:
            return np.array(self.order)
        channels = prod(self.shape[:1])  # one, of a number without axes
        return np.arange(prod(self.shape)).reshape(channels, -1).T.reshape(-1)


@dataclass(frozen=True)
class FinnInput(FinnStream):
    """An input and the cast that makes its codes, done by the host in front of the accelerator.

    Attributes:
        source_shape: shape of one float sample, before any reshape.
        width: word length in bits.
        signed: two's complement if true.
        rounding: rounding mode of the cast.
        overflow: overflow mode of the cast.
    """

    source_shape: tuple[int, ...]
    width: int
    signed: bool
    rounding: str
    overflow: str

    def has_type(self, kind: str) -> bool:
        """Whether FINN's type, such as `DataType['UINT4']`, is that of the codes."""
        found = _WHOLE.search(kind)  # one that is no INT has another name for its width
        own = "" if self.signed else "U", str(self.width)
        return found is None or found.groups(default="") == own

    def encode(self, values: ArrayLike) -> NDArray[np.int64]:
        """(batch, *source_shape) values to (batch, *stream_shape) codes."""
        array = np.asarray(values)
        if array.shape[1:] != self.source_shape:
            raise DataError(
                f"input {self.name!r} must have shape (samples, "
                f"{', '.join(map(str, self.source_shape))}), not {array.shape}"
            )
        points = np.asarray(self.frac_bits).reshape(-1, *[1] * (len(self.shape) - 1))
        modes = self.width, self.signed, self.rounding, self.overflow
        codes = cast_codes(array.reshape(len(array), *self.shape), points, *modes)
        return self.to_stream(codes)


@dataclass(frozen=True)
class Contract:
    """All streams of a model, in the order of its inputs and outputs.

    Attributes:
        inputs: what goes in.
        outputs: what comes out.
    """

    inputs: tuple[FinnInput, ...]
    outputs: tuple[FinnStream, ...]

    def encode(self, values: Mapping[str, ArrayLike]) -> list[NDArray[np.int64]]:
        """Float inputs by name to the codes of each stream."""
        names = [port.name for port in self.inputs]
        if missing := [name for name in names if name not in values]:
            raise DataError(f"inputs must be {', '.join(names)}; {', '.join(missing)} missing")
        return [port.encode(values[port.name]) for port in self.inputs]

    def decode(self, streams: list[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
        """The codes of each output stream by the name of the network's output."""
        pairs = zip(self.outputs, streams, strict=True)
        return {port.name: port.from_stream(stream) for port, stream in pairs}

    def check_streams(self, shapes: Mapping[str, Any]) -> None:
        """The streams of FINN's driver are those of the contract.

        Args:
            shapes: `io_shape_dict` of FINN's settings.

        Raises:
            DataError: another size or type.
        """
        for way, ports in (("i", self.inputs), ("o", self.outputs)):
            types, sizes = shapes[f"{way}dt"], shapes[f"{way}shape_normal"]
            if len(types) != len(ports):
                raise DataError(
                    f"settings.json has {len(types)} streams, contract.json {len(ports)}: they are "
                    "of different builds"
                )
            for port, kind, size in zip(ports, types, sizes, strict=True):
                wanted = prod(port.stream_shape)
                if prod(size[1:]) != wanted or not port.has_type(str(kind)):
                    raise DataError(
                        f"settings.json is of another network: stream {port.name!r} must be "
                        f"{wanted} codes of contract.json's type, not {prod(size[1:])} of {kind}"
                    )

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps({"version": VERSION, **asdict(self)})

    @classmethod
    def from_json(cls, text: str | None) -> Contract:
        """What `to_json` wrote.

        Raises:
            ModelFileError: there is none, or it is not ours.
        """
        if not text:
            raise ModelFileError(f"the model has no {METADATA_KEY!r}: convert it with QFX first")
        try:
            fields: dict[str, Any] = json.loads(text)
            inputs = tuple(FinnInput(**_tuples(port)) for port in fields["inputs"])
            outputs = tuple(FinnStream(**_tuples(port)) for port in fields["outputs"])
        except (ValueError, TypeError, KeyError) as error:
            raise ModelFileError(f"metadata {METADATA_KEY!r} is damaged: {error}") from error
        if fields.get("version") != VERSION:
            raise ModelFileError(
                f"metadata {METADATA_KEY!r} must have version {VERSION}, not "
                f"{fields.get('version')!r}"
            )
        return cls(inputs, outputs)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()}
