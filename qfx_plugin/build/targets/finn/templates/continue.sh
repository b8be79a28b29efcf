#!/usr/bin/env bash
# Goes on where Vitis HLS and Vivado are installed: from this folder to a bitstream.
#
#     FINN_HLSLIB=/path/to/finn-hlslib bash continue.sh [FOLDER]
#
# FOLDER receives everything, by default this folder: FOLDER/overlay then holds the overlay for the
# board. Sources and scripts stay as they are: each run works in a fresh copy, FOLDER/qfx_work.
# Needs neither QFX nor FINN, only the library finn-hlslib, which FINN's DMA engines are made of.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here}
need() { # need NAME...: the first that is installed
    for name in "$@"; do
        command -v "$name" >/dev/null && { echo "$name"; return; }
    done
    echo "continue.sh: $1 was not found: source settings64.sh of AMD Vivado and Vitis" >&2
    exit 3
}
hls=$(need vitis_hls vitis-run)
vivado=$(need vivado)
@include vivado/check_hls.sh@
library=${FINN_HLSLIB:-$here/lib/finn-hlslib}
commit=$(cat "$here/lib/finn-hlslib.commit" 2>/dev/null || true)
if [ ! -d "$library" ]; then
    echo "continue.sh: set FINN_HLSLIB to a copy of finn-hlslib, commit $commit:" >&2
    echo "  git clone https://github.com/Xilinx/finn-hlslib" >&2
    echo "  git -C finn-hlslib checkout $commit" >&2
    exit 3
fi
found=$(git -C "$library" rev-parse HEAD 2>/dev/null || true)
top=$(git -C "$library" rev-parse --show-toplevel 2>/dev/null || true)
# A folder without .git of its own, inside of somebody's repository, tells nothing.
[ "$top" = "$(cd "$library" && pwd -P)" ] || found=
if [ -n "$commit" ] && [ -n "$found" ] && [ "$found" != "$commit" ]; then
    echo "continue.sh: finn-hlslib in $library is at $found, not at $commit:" >&2
    echo "  git -C $library checkout $commit" >&2
    exit 3
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
overlay=$out/overlay work=$out/qfx_work
@include overlay/collect.sh@
# What an earlier run has left, half done or not, is no part of this one.
rm -rf "$work"
mkdir "$work"
for part in units lib ip system driver; do
    if [ -d "$here/$part" ]; then cp -r "$here/$part" "$work/$part"; fi
done
if [ ! -d "$work/lib/finn-hlslib" ]; then
    mkdir -p "$work/lib"
    cp -r "$library" "$work/lib/finn-hlslib"
fi
run() { # run SCRIPT: in its own folder
    cd "$work/$(dirname "$1")"
    "$vivado" -mode batch -nojournal -nolog -notrace -source "$work/$1" |
        tee "$out/first_run/$(echo "${1%.tcl}" | tr / _).log"
}
export QFX_BOARD_FILES=${QFX_BOARD_FILES:-$work/lib/board_files}
# First whether the board's files are here, which takes a minute and not an hour.
run system/probe.tcl
for script in @HLS@; do
    cd "$work/$(dirname "$script")"
    if [ "$hls" = vitis_hls ]; then
        vitis_hls -f "$work/$script"
    else
        vitis-run --mode hls --tcl "$work/$script"
    fi | tee "$out/first_run/$(echo "${script%.tcl}" | tr / _).log"
done
for script in @VIVADO@; do
    run "$script"
done
# What goes onto the board: bitstream, its description, and what runs it.
system="$work/system/finn_zynq_link"
hwh=
for kind in gen srcs; do
    one="$system.$kind/sources_1/bd/top/hw_handoff/top.hwh"
    if [ -f "$one" ]; then hwh=$one; fi
done
[ -n "$hwh" ] || { echo "continue.sh: Vivado wrote no top.hwh" >&2; exit 1; }
[ -f "$system.runs/impl_1/top_wrapper.bit" ] ||
    { echo "continue.sh: Vivado wrote no bitstream" >&2; exit 1; }
cp "$system.runs/impl_1/top_wrapper.bit" "$work/driver/accelerator.bit"
cp "$hwh" "$work/driver/accelerator.hwh"
mv "$work/driver" "$overlay"
{
@include overlay/on_the_board.sh@
cat <<'END'
continue.sh: before, once:   ssh -t xilinx@board 'sudo bash -lc "pip install -r /home/xilinx/overlay/requirements.txt"'
END
} >&2
echo "continue.sh: the overlay is in $overlay"
