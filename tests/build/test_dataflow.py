"""The top for Vitis HLS as processes side by side: samples overlap, and every beat is the same.

The sources are those that are handed over. Where they have a dataflow, its calls become processes
(`dataflow/hls_stream.h`): without Vitis HLS, what is measured is the form and not its hardware.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from qfx_plugin.build.targets.hls4ml.pace import ends, interval
from qfx_plugin.build.targets.hls4ml.shell import _OWN_FLAGS
from qfx_plugin.tools import compiler, process
from tests.build.test_hls_top import HEADERS, SIZE, write

BENCH = Path(__file__).parent / "dataflow" / "hls_stream.h"
ROOM = 2
CYCLE = "qfx_time::cycle();"


LOOP = re.compile(
    r"    for \((unsigned s = 0;.*?)\) \{\n *#pragma HLS DATAFLOW\n(.*?)\n    \}\n", re.DOTALL
)
LOCAL = re.compile(r"^ +(\w+) (\w)\[(\w+)\];$", re.MULTILINE)
STREAM = re.compile(r"^ +(hls::stream<\w+>) (\w)\(.*\);\n.*depth=(\d+)$", re.MULTILINE)
CALL = re.compile(r"^ +(\w+(?:<[^;]*?>)?\([^;\"]*\);)", re.MULTILINE)


def processes(text: str) -> str:
    """The loop of a dataflow, each of its calls a process of its own that loops.

    A local array between two calls is a channel of whole arrays, two of them; a stream has the
    depth of its pragma.
    """
    head, body = LOOP.search(text).groups()
    made = [f'{kind} {name}("{name}", {depth});' for kind, name, depth in STREAM.findall(body)]
    arrays, full = [], set()
    for kind, name, size in LOCAL.findall(body):
        arrays.append(name)
        made += [f"struct of_{name} {{ {kind} v[{size}]; }};",
                 f"qfx_time::channel<of_{name}> {name}({ROOM});"]  # fmt: skip
    loops = []
    for call in CALL.findall(body):
        before = after = ""
        for name in arrays:
            call, uses = re.subn(rf"(?<=[(,\s]){name}(?=[,)])", f"{name}_own.v", call)
            if uses and name in full:
                before += f"of_{name} {name}_own = {name}.get(); "
            elif uses:
                before, after = f"{before}of_{name} {name}_own; ", f"{name}.put({name}_own); "
                full.add(name)
        loops.append(f"[&] {{ for ({head}) {{ {before}{call} {after}}} }}")
    assert len(loops) == 3
    made.append(f"qfx_time::run({{{', '.join(loops)}}});")
    return LOOP.sub(lambda match: "\n".join(made), text)


def bench(folder: Path, kind: str, beat: int, samples: int, rng, *, overlap: bool) -> list[int]:
    """The cycles of a transfer of each number of samples from 1 on; all beats are equal."""
    write(folder, kind, beat, samples, rng)
    shutil.copy(BENCH, folder / "standin")
    for path in (folder / "qfx_axi_stream.h", folder / "firmware" / "net.h"):
        path.write_text(path.read_text().replace("#pragma HLS PIPELINE II=1", CYCLE))
    path = folder / "net_axi.cpp"
    if overlap:
        path.write_text(processes(path.read_text()))
    test = folder / "testbench.cpp"
    told = '    std::printf("%ld cycles\\n", qfx_time::now());\n    return differing =='
    test.write_text(test.read_text().replace("    return differing ==", told, 1))
    objects = [
        compiler.compile_object(
            folder / name, folder / f"{name}.o",
            include_dirs=[folder, folder / "standin", HEADERS / "ap_types", HEADERS],
            flags=(*_OWN_FLAGS, "-pthread"),
        )
        for name in ("net_axi.cpp", "testbench.cpp")
    ]  # fmt: skip
    program = compiler.link_program(objects, folder / "bench", ["pthread"])
    beats = -(-SIZE * 8 // beat)
    cycles = []
    for count in range(1, samples + 1):
        place = folder / str(count)
        place.mkdir()
        for name in ("input_beats.txt", "expected_beats.txt"):
            lines = (folder / name).read_text().splitlines()[: count * beats]
            (place / name).write_text("\n".join(lines) + "\n")
        done = process.run([str(program), str(place)], timeout=60)
        assert done.returncode == 0, done.stdout
        found, told = done.stdout.splitlines()[-2:]
        assert found == f"{count} samples, 0 of {count * beats} beats differ"
        cycles.append(int(told.split()[0]))
    return cycles


@pytest.mark.slow
@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize(
    ("kind", "beat", "stages"), [("parallel", 64, [2, 15, 2]), ("stream", 32, [15, 3, 15])]
)
def test_samples_overlap_in_the_canonical_form_only(kind, beat, stages, overlap, tmp_path, rng):
    """Otherwise, called from a plain loop as before, a sample takes the sum of its stages."""
    cycles = bench(tmp_path, kind, beat, 8, rng, overlap=overlap)
    assert cycles[-1] - cycles[-2] == interval(stages, canonical=overlap)
    assert interval(stages, canonical=overlap) == (max if overlap else sum)(stages)
    if kind == "parallel" or not overlap:  # pixels overlap within a sample, too
        assert cycles == [ends(stages, n, canonical=overlap)[-1] for n in range(1, 9)]
    else:
        assert cycles[0] < sum(stages)
