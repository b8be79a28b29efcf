#!/usr/bin/env bash
# Goes on where Vivado is installed: from this folder to a bitstream.
#
#     bash continue.sh [FOLDER]     FOLDER receives everything; by default ./bitstream
#
# Afterwards FOLDER/overlay holds the overlay for the board. QFX itself is not needed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-bitstream}
if ! command -v vivado >/dev/null; then
    echo "continue.sh: vivado was not found: source settings64.sh of AMD Vivado" >&2
    exit 3
fi
run() {
    vivado -mode batch -nojournal -nolog -notrace -source "$here/vivado/$1" |
        tee "$out/first_run/${1%.tcl}.log"
}
mkdir -p "$out"
out=$(cd "$out" && pwd)
overlay=$out/overlay
@include overlay/collect.sh@

cd "$out"
# First whether the board's files are here, which takes a minute and not an hour.
run probe.tcl
run block_design.tcl
@include overlay/on_the_board.sh@
echo "continue.sh: the overlay is in $overlay"
