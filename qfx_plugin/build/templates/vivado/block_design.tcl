# Vivado for @TITLE@: block design, synthesis, place and route, bitstream.
#
#     main memory <-> memory port <-> DMA <-> AXI-Stream <-> @TOP@
#     processor -> control port -> registers of the DMA and of @TOP@
#
# Run it in the folder that shall hold the project:  vivado -mode batch -source block_design.tcl

set sources [file dirname [file normalize [info script]]]
# Of an earlier run: no overlay lies here before this one has ended well.
file delete -force overlay overlay.part

@include vivado/board.tcl@

create_project -force system project -part @PART@
qfx_board @BOARD_PART@ {@NOTES@}

@ACCELERATOR_FILES@
create_bd_design system

@include vivado/processor.tcl@
# DMA without descriptors: transfers of up to 64 MB.
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma
set_property -dict [list \
    CONFIG.c_include_sg 0 \
    CONFIG.c_sg_include_stscntrl_strm 0 \
    CONFIG.c_sg_length_width @DMA_LENGTH_BITS@ \
    CONFIG.c_addr_width 32 \
    CONFIG.c_m_axi_mm2s_data_width @BEAT@ \
    CONFIG.c_m_axis_mm2s_tdata_width @BEAT@ \
    CONFIG.c_mm2s_burst_size 16 \
    CONFIG.c_m_axi_s2mm_data_width @BEAT@ \
    CONFIG.c_s2mm_burst_size 16] [get_bd_cells dma]

create_bd_cell @ACCELERATOR@ accelerator
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect memory_switch
set_property -dict [list CONFIG.NUM_SI 2 CONFIG.NUM_MI 1 CONFIG.NUM_CLKS 1] \
    [get_bd_cells memory_switch]
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect control_switch
set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 2 CONFIG.NUM_CLKS 1] \
    [get_bd_cells control_switch]
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset

# One clock for everything, from the processor.
set clock [get_bd_pins ps/@CLOCK_PIN@]
foreach pin {
    ps/@MEMORY_CLOCK@ ps/@CONTROL_CLOCK@ reset/slowest_sync_clk
    memory_switch/aclk control_switch/aclk accelerator/@ACCELERATOR_CLOCK@
    dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk
} {
    connect_bd_net $clock [get_bd_pins $pin]
}
connect_bd_net [get_bd_pins ps/@RESET_PIN@] [get_bd_pins reset/ext_reset_in]
foreach pin {memory_switch/aresetn control_switch/aresetn} {
    connect_bd_net [get_bd_pins reset/interconnect_aresetn] [get_bd_pins $pin]
}
foreach pin {dma/axi_resetn accelerator/@ACCELERATOR_RESET@} {
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $pin]
}

# Registers, memory, streams.
foreach {master slave} {
    ps/@CONTROL_PORT@       control_switch/S00_AXI
    control_switch/M00_AXI  dma/S_AXI_LITE
    control_switch/M01_AXI  accelerator/@REGISTERS@
    dma/M_AXI_MM2S          memory_switch/S00_AXI
    dma/M_AXI_S2MM          memory_switch/S01_AXI
    memory_switch/M00_AXI   ps/@MEMORY_PORT@
    dma/M_AXIS_MM2S         accelerator/@STREAM_IN@
    accelerator/@STREAM_OUT@  dma/S_AXIS_S2MM
} {
    connect_bd_intf_net [get_bd_intf_pins $master] [get_bd_intf_pins $slave]
}
assign_bd_address -offset @DMA_ADDRESS@ -range 0x00010000 -target_address_space \
    [get_bd_addr_spaces ps/Data] [get_bd_addr_segs dma/S_AXI_LITE/Reg] -force
assign_bd_address -offset @TOP_ADDRESS@ -range 0x00010000 -target_address_space \
    [get_bd_addr_spaces ps/Data] [get_bd_addr_segs accelerator/@REGISTERS@/@SEGMENT@] -force
assign_bd_address

validate_bd_design
save_bd_design
@SYNTHESIS@
make_wrapper -files [get_files system.bd] -top -import
add_files -fileset constrs_1 [file join $sources constraints.xdc]
set_property top system_wrapper [current_fileset]
update_compile_order -fileset sources_1

launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    error "QFX: implementation ended at [get_property STATUS [get_runs impl_1]]"
}

# Reports, and the two files of a PYNQ overlay.
open_run impl_1
report_utilization -file utilization.rpt
report_utilization -hierarchical -file utilization_hierarchical.rpt
report_timing_summary -file timing.rpt
report_power -file power.rpt
foreach kind {setup hold} {
    set slack [get_property SLACK [get_timing_paths -max_paths 1 -$kind]]
    if {$slack < 0} {
        error "QFX: timing is not met: the worst slack is $slack ns ($kind); build with a lower\
            clock_mhz"
    }
}
set hwh [glob -nocomplain project/system.{gen,srcs}/sources_1/bd/system/hw_handoff/system.hwh]
if {[llength $hwh] == 0} {
    error "QFX: Vivado wrote no system.hwh"
}
file mkdir overlay.part
file copy [file join project system.runs impl_1 system_wrapper.bit] overlay.part/@TOP@.bit
file copy [lindex $hwh 0] overlay.part/@TOP@.hwh
foreach name {
    @OVERLAY@
} {
    file copy [file join $sources .. overlay $name] overlay.part
}
qfx_tell_clock overlay.part/accelerator.json $clock_mhz
file rename overlay.part overlay
exit
