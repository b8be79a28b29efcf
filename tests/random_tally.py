"""What became of many random networks on a target: see `random_networks`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qfx_plugin.errors import QfxError
from qfx_plugin.ir import interpret
from tests.random_targets import TRAITS, Target

if TYPE_CHECKING:
    from tests.random_networks import RandomNetwork


@dataclass
class Tally:
    """What became of many networks on a target.

    Attributes:
        target: the target.
        codes: number of codes compared.
        networks: number of networks compared.
        refused: messages of those that were refused.
        different: texts about those that differ.
        traits: how many of the networks compared have each trait.
    """

    target: Target
    codes: int = 0
    networks: int = 0
    refused: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    traits: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def refusals(self, network: RandomNetwork) -> Iterator[None]:
        """Count a `QfxError` of one line; whatever else is raised is a fault."""
        try:
            yield
        except QfxError as error:
            assert "\n" not in str(error).strip(), error
            self.refused.append(f"{network.name!r}: {error}")

    def compared(self, network: RandomNetwork, codes: int, different: int, note: str = "") -> None:
        """Count a network that ran: how many codes, and how many of them differ."""
        assert codes >= len(next(iter(network.inputs.values())))
        self.networks += 1
        self.codes += codes
        self.traits.update(network.traits)
        if different:
            head = f"{network.name!r}: {different} of {codes} codes differ"
            self.different.append(f"{head}; {sorted(network.traits)} {note}")

    def check(self, *, most_refused: float = 0.0, all_traits: bool = True) -> None:
        """Nothing differs; few are refused; every trait of the target was compared.

        Args:
            most_refused: share of all networks.
            all_traits: whether there were networks enough to have all of them.
        """
        total = self.networks + len(self.refused)
        assert not self.different, "\n".join(["", *self.different])
        refused = "\n".join(["", *self.refused])
        assert self.networks and len(self.refused) <= most_refused * total, refused
        missing = TRAITS.keys() - self.target.lacks - self.traits.keys()
        assert not (all_traits and missing), f"never compared: {sorted(missing)}"


def differing(
    found: Mapping[str, NDArray[Any]], network: RandomNetwork
) -> tuple[int, int]:  # (codes, different)
    """Compare codes by name with the interpreter's; returns how many, and how many differ."""
    wanted = interpret(network.graph, network.x)
    assert found.keys() == wanted.keys()
    pairs = [(found[name], tensor.codes) for name, tensor in wanted.items()]
    return sum(b.size for _, b in pairs), sum(int(np.sum(a != b)) for a, b in pairs)
