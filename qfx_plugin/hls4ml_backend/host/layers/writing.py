"""How layers of ours are written: configuration structures and calls."""

from __future__ import annotations

from typing import Any

from hls4ml.model.layers import Layer


def numbers(node: Layer, *names: str) -> list[str]:
    """Attributes as constants of a configuration."""
    return [f"static const unsigned {name} = {node.get_attr(name)};" for name in names]


def structure(node: Layer, lines: list[str]) -> str:
    """A configuration `config<index>`, with the operation if the layer has several."""
    name, kind = f"config{node.index}", node.get_attr("kind")
    if "wide_t" in node.types:
        lines = [*lines, f"typedef {node.types['wide_t'].name} wide_t;"]
    if kind is not None:
        lines = [*lines, f"typedef nnet::qfx_{kind}<{name}> op;"]
    body = "".join(f"    {line}\n" for line in lines)
    return f"struct {name} {{\n{body}}};\n"


def call(function: str, params: dict[str, Any], *more: str) -> str:
    """A call of a function of our headers; `more` are arguments behind input and output."""
    types = ", ".join(params[name] for name in ("input_t", "output_t", "config"))
    arguments = ", ".join([params["input"], params["output"], *more])
    return f"nnet::{function}<{types}>({arguments});"


def call_of_two(function: str, node: Layer, params: dict[str, Any]) -> str:
    """A call of a function of our headers that reads two tensors."""
    right = node.get_input_variable(node.inputs[1])
    types = ", ".join([params["input_t"], right.type.name, params["output_t"], params["config"]])
    return f"nnet::{function}<{types}>({params['input']}, {right.name}, {params['output']});"
