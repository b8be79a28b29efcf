"""What came of the proofs about a network: plain data, JSON and text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import VerificationError

PROVEN, REFUTED, OPEN, SAMPLED = "proven", "refuted", "open", "sampled"
"""For all inputs; false for some input; not decided; not decided, and equal on random inputs."""


@dataclass(frozen=True)
class Counterexample:
    """Inputs for which a code differs, as integer codes.

    Attributes:
        inputs: codes by tensor, nested as the tensor's shape.
        tensor: that differs.
        position: of its first element that does.
        expected: the code that the interpreter gives.
        found: the code that the Verilog gives.
    """

    inputs: dict[str, Any]
    tensor: str
    position: tuple[int, ...]
    expected: int
    found: int

    def __str__(self) -> str:
        given = ", ".join(f"{name} = {codes}" for name, codes in self.inputs.items())
        where = f"{self.tensor}[{', '.join(map(str, self.position))}]"
        return f"{where}: expected code {self.expected}, got {self.found}, with codes {given}"


@dataclass(frozen=True)
class Proof:
    """Whether the Verilog of a node, or of a network, equals the intermediate model.

    Attributes:
        name: of the node, such as `Linear 'fc1'`, or of the network.
        status: "proven" for all inputs, "refuted", "sampled", or "open" beside a refuted network.
        seconds: that it took.
        samples: random inputs of the network on which its outputs were simulated and are equal,
            where nothing is proven.
        reason: why it is not proven.
        counterexample: if it is refuted.
    """

    name: str
    status: str
    seconds: float
    samples: int = 0
    reason: str = ""
    counterexample: Counterexample | None = None

    def __str__(self) -> str:
        if self.status == PROVEN:
            return f"proven for all inputs, {self.seconds:.1f} s"
        if self.status == REFUTED:
            return f"REFUTED: {self.counterexample or self.reason}"
        if self.status == OPEN:
            return f"open: {self.reason}"
        return f"sampled: the network is equal on {self.samples:,} inputs; {self.reason}"


@dataclass(frozen=True)
class NetworkProofs:
    """What is proven of a network's Verilog.

    Attributes:
        network: its name.
        style: of the Verilog, "unrolled" or "streaming".
        limit_s: seconds that each proof was given.
        host: first casts, which are the host's and no Verilog.
        nodes: each operation's adder graph on its own, for all codes of its proven range.
        whole: the network as it is compiled, from the codes that go in to those that come out.
    """

    network: str
    style: str
    limit_s: float
    host: tuple[str, ...]
    nodes: tuple[Proof, ...]
    whole: Proof

    @property
    def refuted(self) -> tuple[Proof, ...]:
        """What is wrong; nothing, if all is well."""
        return tuple(one for one in (*self.nodes, self.whole) if one.status == REFUTED)

    @property
    def proven(self) -> bool:
        """Whether the whole network is proven for all inputs, and nothing refuted."""
        return self.whole.status == PROVEN and not self.refuted

    def raise_if_refuted(self) -> None:
        """Raise the first counterexample.

        Raises:
            VerificationError: something is refuted.
        """
        for one in self.refuted:
            raise VerificationError(f"{one.name}: {one}")

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {"proven": self.proven, "refuted": bool(self.refuted)} | asdict(self)

    def __str__(self) -> str:
        rows = [(one.name, str(one)) for one in self.nodes]
        rows.append((self.whole.name, str(self.whole)))
        width = max(len(name) for name, _ in rows)
        host = ", ".join(map(repr, self.host))
        count = sum(one.status == PROVEN for one in self.nodes)
        return "\n".join(
            [
                f"{self.network}: {self.style} Verilog against the intermediate model; at most "
                f"{self.limit_s:g} s a proof",
                *(f"  {name.ljust(width)}  {text}" for name, text in rows),
                f"{count} of {len(self.nodes)} nodes proven on their own; the host casts {host}",
            ]
        )
