# Vitis HLS for @TOP@: C simulation, synthesis, IP for Vivado.
#
# Run it in the folder that shall hold the project:  vitis_hls -f vitis_hls.tcl
# or, with newer versions:                           vitis-run --mode hls --tcl vitis_hls.tcl

set sources [file dirname [file normalize [info script]]]
set flags "-std=c++14 -I$sources"

open_project -reset qfx_hls
set_top @TOP@
add_files [file join $sources @TOP@.cpp] -cflags $flags
add_files [file join $sources firmware @PROJECT@.cpp] -cflags $flags
add_files -tb [file join $sources testbench.cpp] -cflags $flags
add_files -tb [file join $sources firmware weights]
add_files -tb [file join $sources input_beats.txt]
add_files -tb [file join $sources expected_beats.txt]

open_solution -reset -flow_target vivado solution
set_part @PART@
create_clock -period @PERIOD@ -name default
set_clock_uncertainty @UNCERTAINTY@ default

# The test bench compares every beat; a difference ends the script.
csim_design
csynth_design
@COSIM@export_design -format ip_catalog -vendor qfx -library hls -ipname @TOP@ -version 1.0
exit
