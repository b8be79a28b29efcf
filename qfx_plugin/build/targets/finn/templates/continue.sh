#!/usr/bin/env bash
# Goes on where Vitis HLS and Vivado are installed: from this folder to a bitstream, in this folder.
#
#     FINN_HLSLIB=/path/to/finn-hlslib bash continue.sh
#
# Needs neither QFX nor FINN, only the library finn-hlslib, which FINN's DMA engines are made of.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
need() { # need NAME...: the first that is installed
    for name in "$@"; do
        command -v "$name" >/dev/null && { echo "$name"; return; }
    done
    echo "continue.sh: $1 was not found: source settings64.sh of AMD Vivado and Vitis" >&2
    exit 3
}
hls=$(need vitis_hls vitis-run)
vivado=$(need vivado)
if [ ! -d "$here/lib/finn-hlslib" ]; then
    [ -d "${FINN_HLSLIB:-}" ] || {
        echo "continue.sh: set FINN_HLSLIB to a copy of finn-hlslib (github: Xilinx/finn-hlslib)" >&2
        exit 3
    }
    cp -r "$FINN_HLSLIB" "$here/lib/finn-hlslib"
fi
for script in @HLS@; do
    cd "$here/$(dirname "$script")"
    if [ "$hls" = vitis_hls ]; then
        vitis_hls -f "$here/$script"
    else
        vitis-run --mode hls --tcl "$here/$script"
    fi
done
for script in @VIVADO@; do
    cd "$here/$(dirname "$script")"
    "$vivado" -mode batch -nojournal -nolog -notrace -source "$here/$script"
done
# What goes onto the board: bitstream, its description, and what runs it.
system="$here/system/finn_zynq_link"
overlay="$here/overlay"
rm -rf "$overlay"
cp -r "$here/driver" "$overlay"
cp "$system.runs/impl_1/top_wrapper.bit" "$overlay/accelerator.bit"
for kind in gen srcs; do
    hwh="$system.$kind/sources_1/bd/top/hw_handoff/top.hwh"
    [ -f "$hwh" ] && cp "$hwh" "$overlay/accelerator.hwh"
done
[ -f "$overlay/accelerator.hwh" ] || { echo "continue.sh: Vivado wrote no top.hwh" >&2; exit 1; }
echo "continue.sh: the overlay is in $overlay"
