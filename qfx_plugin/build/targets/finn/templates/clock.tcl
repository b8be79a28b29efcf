set hz [get_property CONFIG.FREQ_HZ [get_bd_pins clk_wiz_0/clk_out1]]
set clock_mhz [qfx_clock $FREQ_MHZ [expr {[string is double -strict $hz] ? $hz / 1e6 : ""}]]
qfx_tell_clock [file join $QFX_ROOT driver accelerator.json] $clock_mhz
add_files -fileset constrs_1 [file join $QFX_ROOT system constraints.xdc]
