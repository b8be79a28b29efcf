"""A traced network cut where all of it goes through one tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import fx, nn

from brevitas_quantizers.fixed_point import OptionError
from brevitas_quantizers.injectors.proxies import _QFXProxy

_POOLS = ("pool", "mean", "Reduce")


@dataclass(frozen=True)
class Piece:
    """A part of a network.

    Attributes:
        name: of the last operation in it.
        module: computes it, with the network's own layers.
    """

    name: str
    module: fx.GraphModule


def cut(model: fx.GraphModule, modules: Sequence[str] | None = None) -> list[Piece]:
    """The pieces of `model`, in order; together they compute what it does.

    Args:
        model: a traced network.
        modules: names of submodules behind which to cut; by default behind additions and pools.

    Raises:
        OptionError: no such submodule, or not all of the network goes through its result.
    """
    nodes = list(model.graph.nodes)
    narrow = list(_narrow_places(nodes))
    chosen = _automatic(model, nodes, narrow) if modules is None else _named(nodes, narrow, modules)
    pieces, start = [], -1
    for place in [*chosen, len(nodes) - 1]:
        pieces.append(_piece(model, nodes, start, place))
        start = place
    return pieces


def _narrow_places(nodes: list[fx.Node]) -> Iterator[int]:
    """Where one value is all that the rest of the network needs."""
    order = {node: place for place, node in enumerate(nodes)}
    depends = {node for node in nodes if node.op == "placeholder" and node.users}
    for node in nodes:
        if any(source in depends for source in node.all_input_nodes):
            depends.add(node)
    last = {n: max((order[user] for user in n.users), default=-1) for n in depends}
    for place, node in enumerate(nodes[:-1]):
        if node in depends and node.op != "placeholder" and last[node] > place:
            alive = (n for n in depends if order[n] < place and last[n] > place)
            if next(alive, None) is None and all(
                order[n] < place for n in depends if n.op == "placeholder"
            ):
                yield place


def _automatic(model: fx.GraphModule, nodes: list[fx.Node], narrow: list[int]) -> list[int]:
    """Behind additions and pools, and what follows them without weights of its own."""
    chosen: list[int] = []
    for place, following in zip(narrow, [*narrow[1:], len(nodes) - 1], strict=True):
        part = nodes[(chosen[-1] if chosen else -1) + 1 : place + 1]
        rest = nodes[place + 1 : following + 1]
        ends = any(_joins(node) or _pools(model, node) for node in part)
        if ends and any(_trains(model, node) for node in part) and not _is_light(model, rest):
            chosen.append(place)
    while chosen and not any(_trains(model, node) for node in nodes[chosen[-1] + 1 :]):
        chosen.pop()
    return chosen


def _named(nodes: list[fx.Node], narrow: list[int], modules: Sequence[str]) -> list[int]:
    chosen = set()
    for name in modules:
        inside = [
            place
            for place, node in enumerate(nodes)
            if node.op == "call_module" and f"{node.target}.".startswith(f"{name}.")
        ]
        if not inside:
            raise OptionError(f"reconstruct: modules names {name!r}, which is not in the network")
        behind = [place for place in narrow if place >= inside[-1]]
        if not behind or behind[0] > inside[-1] + 1:
            raise OptionError(
                f"reconstruct: modules must name submodules through whose result all of the "
                f"network goes, not {name!r}: something goes past it"
            )
        chosen.add(behind[0])
    return sorted(chosen)


def _joins(node: fx.Node) -> bool:
    return len(node.all_input_nodes) > 1


def _layer(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def _pools(model: fx.GraphModule, node: fx.Node) -> bool:
    layer = _layer(model, node)
    text = node.name if layer is None else f"{node.name} {type(layer).__name__}"
    return any(word.lower() in text.lower() for word in _POOLS)


def _trains(model: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a layer has parameters besides those of its quantizers."""
    layer = _layer(model, node)
    if layer is None:
        return False
    proxies = tuple(
        f"{name}." if name else "" for name, m in layer.named_modules() if isinstance(m, _QFXProxy)
    )
    return any(not name.startswith(proxies or ("\0",)) for name, _ in layer.named_parameters())


def _is_light(model: fx.GraphModule, part: list[fx.Node]) -> bool:
    """An activation or a cast: belongs to the piece in front of it."""
    return len(part) == 1 and part[0].op != "output" and not _trains(model, part[0])


def _piece(model: fx.GraphModule, nodes: list[fx.Node], start: int, end: int) -> Piece:
    graph, copies = fx.Graph(), {}
    if start >= 0:
        copies[nodes[start]] = graph.placeholder("given")
    wanted: set[fx.Node] = set()
    pending = [nodes[end]]
    while pending:  # constants may stand further in front
        node = pending.pop()
        if node not in wanted and node not in copies:
            wanted.add(node)
            pending += node.all_input_nodes
    for node in nodes[: end + 1]:
        is_input = start < 0 and node.op == "placeholder"
        if (node in wanted or is_input) and node not in copies:
            copies[node] = graph.node_copy(node, lambda n: copies[n])
    if nodes[end].op != "output":
        graph.output(copies[nodes[end]])
    named = [n for n in nodes[start + 1 : end + 1] if n.op == "call_module"]
    name = str(named[-1].target) if named else nodes[end].name
    return Piece(name, fx.GraphModule(model, graph))
