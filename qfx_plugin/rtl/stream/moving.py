"""Lines of a stage in which elements move between beats; see `moves`."""

from __future__ import annotations

from ...units.reorder import Reorder
from ..graph.kernel import assign_lane, code_lanes
from .moves import Moves, lane_points, lane_starts
from .wiring import Stream, connect_words, pass_on


def moves_file(name: str) -> str:
    """Name of the table of a stage whose positions move."""
    return f"{name}_order.mem"


def connect_moves(moves: Moves, file: str) -> list[str]:
    """Words of each beat through a memory, in another order, as stream `w`."""
    words, lanes, points = moves.words, code_lanes(moves.word), lane_points(moves.word)
    starts, bits = lane_starts(lanes), code_lanes(moves.word).bits
    outside = code_lanes(moves.result)
    cut, moved, given, w = (
        Stream("cut", bits * len(words.taken)), Stream("taken", bits), Stream("moved", bits),
        Stream("w", outside.bits),
    )  # fmt: skip
    packed_ = Stream("beat", bits * len(words.given))
    lines = [line for one in (cut, moved, given, packed_, w) for line in one.declaration()]
    lines += ["  assign cut_tvalid = s_tvalid;", "  assign s_tready = cut_tready;"]
    source, frm = code_lanes(moves.pixel), lane_points(moves.pixel)
    begins = lane_starts(source)
    for word, channels in enumerate(words.taken.tolist()):
        for lane, channel in enumerate(channels):
            target = "cut_tdata", word * bits + starts[lane], lanes.widths[lane], False
            read = "s_tdata", begins[channel], source.widths[channel], source.signed[channel]
            lines.append(assign_lane(target, read, points[lane] - frm[channel]))
    lines += connect_words("qfx_unpack", "unpack", bits, len(words.taken), cut, moved)
    lines += _connect_order(words.frame, file, moved, given)
    lines += connect_words("qfx_pack", "pack", bits, len(words.given), given, packed_)
    lines += ["  assign w_tvalid = beat_tvalid;", "  assign beat_tready = w_tready;"]
    places = {
        int(channel): (word * bits, lane)
        for word, channels in enumerate(words.given)
        for lane, channel in enumerate(channels)
    }
    wanted = lane_points(moves.result)
    for channel, (start, width) in enumerate(
        zip(lane_starts(outside), outside.widths, strict=True)
    ):
        target = "w_tdata", start, width, False
        if channel not in places:
            lines.append(f"  assign w_tdata[{start + width - 1}:{start}] = {width}'d0;")
            continue
        low, lane = places[channel]
        read = "beat_tdata", low + starts[lane], lanes.widths[lane], lanes.signed[lane]
        lines.append(assign_lane(target, read, wanted[channel] - points[lane]))
    return lines


def _connect_order(frame: Reorder, file: str, frm: Stream, to: Stream) -> list[str]:
    """Words in another order, or as they are."""
    if frame.is_plain:
        return pass_on(frm, to)
    values = ", ".join(
        f".{key}({value})" for key, value in frame.parameters(frm.bits, file).items()
    )
    return [
        f"  qfx_reorder #({values}) order (",
        f"      .clk, .rst, {frm.connection('s')}, {to.connection('m')}",
        "  );",
    ]
