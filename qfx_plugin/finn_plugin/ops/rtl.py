"""The RTL side of our operations: a Verilog top module around one SystemVerilog file of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from finn.custom_op.fpgadataflow.rtlbackend import RTLBackend

from ...units.sources import sources_of
from .elementwise import ElementwiseOp


@dataclass(frozen=True)
class Instance:
    """The module inside the top module.

    Attributes:
        module: its name.
        parameters: values as Verilog text.
        inputs: what the names of the ports of each stream that comes in begin with.
        outputs: likewise, of each stream that goes out; all in one vector if there is only one
            prefix for several streams.
        reset: connection of the reset port.
        memories: files for $readmemh: text by name.
    """

    module: str
    parameters: Mapping[str, int | str]
    inputs: tuple[str, ...] = ("in_",)
    outputs: tuple[str, ...] = ("out_",)
    reset: str = ".rst_n(ap_rst_n)"
    memories: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The module and all that it uses; parts of QFX, shared by all nodes."""
        return tuple(sources_of(self.module))


def unit_instance(
    module: str, parameters: Mapping[str, int | str], memories: Mapping[str, str] | None = None
) -> Instance:
    """A unit that the RTL path has too: its streams are called `s_axis` and `m_axis`."""
    return Instance(
        module, parameters, ("s_axis_t",), ("m_axis_t",), ".rst(!ap_rst_n)", memories or {}
    )


OPERATIONS: dict[str, type[ElementwiseOp]] = {}
"""Ours by name."""

_Operation = TypeVar("_Operation", bound=type[ElementwiseOp])


def operation(kind: _Operation) -> _Operation:
    """Announce an operation: `register` gives it to FINN, as it is and in its RTL form."""
    OPERATIONS[kind.__name__] = kind
    return kind


def rtl_form(kind: type[ElementwiseOp]) -> type[ElementwiseOp]:
    """The variant with FINN's suffix, which generates Verilog and simulates it."""
    text = {"__doc__": f"`{kind.__name__}` in SystemVerilog.", "__module__": kind.__module__}
    return type(f"{kind.__name__}_rtl", (RTLOp, kind), text)


class RTLOp(ElementwiseOp, RTLBackend):  # type: ignore[misc]  # FINN has no types
    """What the RTL forms add: code generation, file list, simulation."""

    attributes: ClassVar[dict[str, tuple[Any, ...]]] = {"memories": ("s", False, "")}
    """Files that the last code generation wrote."""

    def get_nodeattr_types(self) -> dict[str, Any]:
        """Those of the operation and of FINN's RTL back end."""
        return {**super().get_nodeattr_types(), **RTLBackend.get_nodeattr_types(self)}

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """In Python or as RTL simulation."""
        if not self.run_rtl(context, graph):
            super().execute_node(context, graph)

    def run_rtl(self, context: dict[str, Any], graph: Any) -> bool:
        """Run the RTL simulation, if that is what the node is set to."""
        if self.get_nodeattr("exec_mode") != "rtlsim":
            return False
        shaped = {
            name: context[name].reshape(self.get_normal_input_shape(index))
            for index, name in enumerate(self.onnx_node.input)
        }
        RTLBackend.execute_node(self, shaped, graph)
        for name in self.onnx_node.output:
            context[name] = shaped[name].reshape(context[name].shape)
        return True

    def generate_hdl(self, model: Any, fpgapart: str, clk: float) -> None:
        """Write the top module and its memories."""
        folder, top = (
            Path(self.get_nodeattr("code_gen_dir_ipgen")),
            self.get_verilog_top_module_name(),
        )
        instance = self.instance()
        (folder / f"{top}.v").write_text(self._top(top, instance))
        for name, text in instance.memories.items():
            (folder / name).write_text(text, encoding="ascii")
        for name in ("ipgen_path", "ip_path"):
            self.set_nodeattr(name, str(folder))
        self.set_nodeattr("gen_top_module", top)
        self.set_nodeattr("memories", " ".join(instance.memories))

    def get_rtl_file_list(self, abspath: bool = False) -> list[str]:
        """The SystemVerilog files, the memories and the top module."""
        folder = Path(self.get_nodeattr("code_gen_dir_ipgen"))
        own = [*self.get_nodeattr("memories").split(), f"{self.get_nodeattr('gen_top_module')}.v"]
        files = [*self.instance().files, *(folder / name for name in own)]
        return [str(path) if abspath else path.name for path in files]

    def code_generation_ipi(self) -> list[str]:
        """Tcl that puts the module into a block design."""
        files = [f"add_files -norecurse {path}" for path in self.get_rtl_file_list(abspath=True)]
        top = self.get_nodeattr("gen_top_module")
        return [*files, f"create_bd_cell -type module -reference {top} {self.onnx_node.name}"]

    def _top(self, name: str, instance: Instance) -> str:
        node = self.onnx_node
        ins = [(f"in{i}_V", self.get_instream_width(i)) for i in range(len(node.input))]
        outs = [(f"out{i}_V", self.get_outstream_width(i)) for i in range(len(node.output))]
        ports = [_ports(*stream, flows="input", stops="output") for stream in ins]
        ports += [_ports(*stream, flows="output", stops="input") for stream in outs]
        wires = [line for group in _groups(instance.inputs, ins) for line in _wires(*group)]
        wires += [line for group in _groups(instance.outputs, outs) for line in _wires(*group)]
        datas = [line for port, width in ins for line in _data(port, width, incoming=True)]
        datas += [line for port, width in outs for line in _data(port, width, incoming=False)]
        return _TOP.format(
            name=name,
            busses=":".join(port for port, _ in (*ins, *outs)),
            ports=",\n".join(ports),
            datas="\n".join(datas),
            module=instance.module,
            parameters=",\n".join(f"        .{k}({v})" for k, v in instance.parameters.items()),
            reset=instance.reset,
            wires=",\n".join(wires),
        )


_TOP = """\
module {name} (
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF {busses}, ASSOCIATED_RESET ap_rst_n" *)
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 ap_clk CLK" *)
    input ap_clk,
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input ap_rst_n,
{ports}
);
{datas}
    {module} #(
{parameters}
    ) unit (
        .clk(ap_clk),
        {reset},
{wires}
    );
endmodule
"""


def _ports(port: str, width: int, *, flows: str, stops: str) -> str:
    """Declarations of an AXI stream, whole bytes wide."""
    return (
        f"    {flows} [{_padded(width) - 1}:0] {port}_TDATA,\n"
        f"    {flows} {port}_TVALID,\n"
        f"    {stops} {port}_TREADY"
    )


def _data(port: str, width: int, *, incoming: bool) -> list[str]:
    """The used bits of a stream's data as a wire of their own."""
    wire, pad = f"    wire [{width - 1}:0] {port}_data", _padded(width) - width
    if incoming:
        return [f"{wire} = {port}_TDATA[{width - 1}:0];"]
    zeros = f"{{{pad}{{1'b0}}}}, " if pad else ""
    return [f"{wire};", f"    assign {port}_TDATA = {{{zeros}{port}_data}};"]


def _wires(prefix: str, group: list[tuple[str, int]]) -> list[str]:
    """Connections of one prefix of the unit: to one stream, or to several side by side."""
    names = [port for port, _ in reversed(group)]
    return [
        f"        .{prefix}{kind}({{{', '.join(f'{name}_{suffix}' for name in names)}}})"
        for kind, suffix in (("data", "data"), ("valid", "TVALID"), ("ready", "TREADY"))
    ]


def _padded(width: int) -> int:
    return (width + 7) // 8 * 8


def _groups(
    prefixes: tuple[str, ...], streams: list[tuple[str, int]]
) -> list[tuple[str, list[tuple[str, int]]]]:
    if len(prefixes) == 1:
        return [(prefixes[0], streams)]
    return [(prefix, [stream]) for prefix, stream in zip(prefixes, streams, strict=True)]
