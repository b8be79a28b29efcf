#!/usr/bin/env bash
# Goes on where Vitis HLS and Vivado are installed: from this folder to a bitstream.
#
#     bash continue.sh [FOLDER]     FOLDER receives everything; by default ./bitstream
#
# Afterwards FOLDER/vivado/overlay holds the overlay for the board. QFX itself is not needed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-bitstream}
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
run() {
    "$vivado" -mode batch -nojournal -nolog -notrace -source "$here/vivado/$1" |
        tee "$out/first_run/${1%.tcl}.log"
}
mkdir -p "$out/hls" "$out/vivado"
out=$(cd "$out" && pwd)
overlay=$out/vivado/overlay
@include overlay/collect.sh@

# First whether the board's files are here, which takes a minute and not an hour.
cd "$out/vivado"
run probe.tcl
cd "$out/hls"
if [ "$hls" = vitis_hls ]; then
    vitis_hls -f "$here/hls/vitis_hls.tcl"
else
    vitis-run --mode hls --tcl "$here/hls/vitis_hls.tcl"
fi | tee "$out/first_run/vitis_hls.log"
cd "$out/vivado"
QFX_IP_REPO="$out/hls/qfx_hls/solution/impl/ip" run block_design.tcl
@include overlay/on_the_board.sh@
echo "continue.sh: the overlay is in $overlay"
