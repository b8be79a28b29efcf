# Before hours of work: are the board's files installed, and which clock does the processor give?
#
# Run it in an empty folder:  vivado -mode batch -source probe.tcl

@include vivado/board.tcl@

create_project -force probe probe -part @PART@
qfx_board @BOARD_PART@ {@NOTES@}
create_bd_design probe

@include vivado/processor.tcl@
set file [open probe.txt w]
puts $file "board part: [get_property board_part [current_project]]\nclock: $clock_mhz MHz"
close $file
exit
