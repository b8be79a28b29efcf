# Stands in for the commands of Vivado or Vitis HLS: runs a script, and writes down every call.
#
#     tclsh recorder.tcl COMMANDS RECORD SCRIPT [WORLD]
#
# COMMANDS lists the commands that exist, one a line; any other is Tcl's own error. RECORD receives
# one call a line, as a JSON list of command and arguments. WORLD is a file with a Tcl dictionary:
#
#     boards   board parts that are installed; without, whatever a script looks for is
#     refused  board parts that Vivado takes without an error, and does not set
#     part     of every board part; without, the project's
#     setup, hold   worst slacks in ns
#     handoff  "gen", or "srcs" as before Vivado 2020.2: where the .hwh is
#     preset   parameters of the processor that the board's preset sets
#     actual   "" for a Vivado that does not tell the clock it reaches
#
# Queries are answered as the tools would where a script goes on with the answer: a name is returned
# as get_bd_pins does, properties are those that were set, the processor's clock is what its PLL and
# dividers give, and a project that exists is not created again. What a script asks of a finished
# run is answered as if it had gone well. A file that is named by an absolute path, or in add_files,
# must exist.

proc qfx_quote {text} {
    return "\"[string map {\\ \\\\ \" \\\" \n \\n \t \\t \r \\r} $text]\""
}

proc qfx_record {name arguments} {
    set parts {}
    foreach part [linsert $arguments 0 $name] {
        lappend parts [qfx_quote $part]
    }
    puts $::qfx_file "\[[join $parts {, }]\]"
}

proc qfx_option {arguments name} {
    set place [lsearch -exact $arguments $name]
    return [expr {$place < 0 ? "" : [lindex $arguments $place+1]}]
}

proc qfx_world {key {default ""}} {
    return [expr {[dict exists $::qfx_world $key] ? [dict get $::qfx_world $key] : $default}]
}

proc qfx_value {key {default ""}} {
    return [expr {[dict exists $::qfx_values $key] ? [dict get $::qfx_values $key] : $default}]
}

# Files that a script adds, but not what Vivado itself would have made.
proc qfx_add_files {arguments} {
    foreach part $arguments {
        if {[file pathtype $part] eq "absolute" && ![file exists $part]
            && ![string match *.srcs/sources_1/bd/* $part]} {
            error "add_files: there is no file $part"
        }
        if {[string match *.xdc $part] && [file isfile $part]} {
            set file [open $part r]
            regexp {CONFIG.USERID 0x(\S+)} [read $file] _ ::qfx_user_id
            close $file
        }
    }
}

proc qfx_create_project {arguments} {
    set force [expr {"-force" in $arguments}]
    set part [qfx_option $arguments -part]
    set names [lsearch -all -inline -not -exact $arguments -force]
    set names [lrange $names 0 [lsearch -exact $names -part]-1]
    set file [file join [lindex $names 1] [lindex $names 0].xpr]
    if {[file exists $file] && !$force} {
        error "ERROR: \[Common 17-53\] User Exception: Project already exists on disk, please use\
            '-force' option to overwrite: $file"
    }
    file mkdir [file dirname $file]
    close [open $file w]
    set ::qfx_values [dict create PART $part]
}

proc qfx_get_board_parts {arguments} {
    set found [qfx_world boards]
    if {![dict exists $::qfx_world boards]} {
        regexp {NAME =~ (\S+)} [qfx_option $arguments -filter] _ pattern
        set found [string map {*: maker.com: :* :1.0} $pattern]
    } elseif {[regexp {NAME =~ (\S+)} [qfx_option $arguments -filter] _ pattern]} {
        set found [lsearch -all -inline -glob $found $pattern]
    }
    return $found
}

proc qfx_set_board {name} {
    if {[dict exists $::qfx_world boards] && $name ni [qfx_world boards]} {
        error "ERROR: \[Board 49-71\] The board_part definition was not found for $name."
    }
    if {$name ni [qfx_world refused]} {
        dict set ::qfx_values board_part $name
        dict set ::qfx_values PART [qfx_world part [qfx_value PART]]
    }
}

# What the processor's clock becomes: its PLL, by integers of two dividers of six bits.
proc qfx_divide {pll parameter} {
    set asked [qfx_value $parameter 100]
    set best 0
    for {set one 1} {$one < 64} {incr one} {
        for {set two 1} {$two < 64} {incr two} {
            set mhz [expr {$pll / $one / $two}]
            if {abs($mhz - $asked) < abs($best - $asked)} { set best $mhz }
        }
    }
    return [format %.6f $best]
}

proc qfx_actual {key} {
    if {[qfx_world actual yes] eq ""} { return "" }
    if {[string match *PCW_ACT_FPGA0_* $key]} {
        return [qfx_divide 1000.0 CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ]
    }
    set pll [expr {[qfx_value CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL] eq "IOPLL"
        ? 1499.985 : 1066.656}]
    # The dividers are the user's own then, and the frequency asked for counts for nothing.
    if {[qfx_value CONFIG.PSU__OVERRIDE__BASIC_CLOCK 0] eq "1"} {
        return [format %.6f [expr {$pll / [qfx_value \
            CONFIG.PSU__CRL_APB__PL0_REF_CTRL__DIVISOR0 15]}]]
    }
    return [qfx_divide $pll CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ]
}

# What a clocking wizard makes of the processor's 100 MHz, which are a little less.
proc qfx_wizard {object} {
    set asked [qfx_value CONFIG.CLKOUT1_REQUESTED_OUT_FREQ]
    if {[qfx_world actual yes] eq "" || $asked eq "" || ![string match clk_wiz* $object]} {
        return ""
    }
    return [expr {round($asked * 0.99999e6)}]
}

proc qfx_get_property {arguments} {
    lassign [lsearch -all -inline -not -exact $arguments -quiet] key object
    switch -glob -- $key {
        PROGRESS { return 100% }
        STATUS { return Complete }
        SLACK { return [qfx_world [expr {$object eq "-hold" ? "hold" : "setup"}] 0.5] }
        VLNV { return $object }
        CONFIG.ADDR_WIDTH { return 6 }
        CONFIG.FREQ_HZ { return [qfx_wizard $object] }
        CONFIG.*ACT_F* { return [qfx_actual $key] }
        default { return [qfx_value $key] }
    }
}

proc qfx_launch_runs {} {
    set kind [qfx_world handoff gen]
    foreach {base runs bit design} {
        project/system project/system.runs/impl_1 system_wrapper.bit system
        finn_zynq_link finn_zynq_link.runs/impl_1 top_wrapper.bit top
    } {
        if {![file exists $base.xpr]} { continue }
        set handoff $base.$kind/sources_1/bd/$design/hw_handoff
        file mkdir $runs $handoff
        set file [open [file join $runs $bit] w]
        puts $file "$design;COMPRESS=TRUE;UserID=0X$::qfx_user_id;Version=2023.2"
        close $file
        close [open [file join $handoff $design.hwh] w]
    }
}

proc qfx_get_ipdefs {arguments} {
    set last [lindex $arguments end]
    if {[lsearch $arguments -filter] >= 0 && [string match *clk_wiz* $last]} {
        return xilinx.com:ip:clk_wiz:6.0
    }
    foreach part $arguments {
        if {[string match xilinx.com:* $part]} { return [string map {:* :1.0} $part] }
    }
    return $last
}

proc qfx_call {name arguments} {
    if {$name eq "add_files"} { qfx_add_files $arguments }
    if {$name eq "set_property" && [lindex $arguments 0] eq "-dict"} {
        foreach {key value} [lindex $arguments 1] {
            qfx_call set_property [list $key $value [lindex $arguments 2]]
        }
        return ""
    }
    qfx_record $name $arguments
    switch -- $name {
        create_project { qfx_create_project $arguments }
        get_board_parts { return [qfx_get_board_parts $arguments] }
        set_property {
            if {[lindex $arguments 0] eq "board_part"} { return [qfx_set_board [lindex $arguments 1]] }
            dict set ::qfx_values [lindex $arguments 0] [lindex $arguments 1]
        }
        apply_bd_automation {
            if {[string match *apply_board_preset* $arguments]} {
                set ::qfx_values [dict merge $::qfx_values [qfx_world preset]]
            }
        }
        get_property { return [qfx_get_property $arguments] }
        get_ipdefs { return [qfx_get_ipdefs $arguments] }
        get_param - get_bd_intf_ports - ipx::get_files { return {} }
        get_bd_intf_pins { if {[lsearch $arguments -of_objects] >= 0} { return {} } }
        get_timing_paths { return [lindex $arguments end] }
        ipx::package_project {
            file mkdir [lindex $arguments 1]
            close [open [file join [lindex $arguments 1] component.xml] w]
        }
        launch_runs { qfx_launch_runs }
    }
    return [lindex $arguments end]
}

lassign $argv qfx_commands qfx_path qfx_script qfx_given
set qfx_input [open $qfx_commands r]
set qfx_file [open $qfx_path w]
set qfx_world [dict create]
if {$qfx_given ne ""} {
    set qfx_stream [open $qfx_given r]
    set qfx_world [read $qfx_stream]
    close $qfx_stream
}
set qfx_values [dict create]
set qfx_user_id FFFFFFFF
namespace eval ipx {}
foreach name [split [string trim [read $qfx_input]] \n] {
    proc $name args "return \[qfx_call [list $name] \$args\]"
}
close $qfx_input
rename exit qfx_exit
proc exit args {
    qfx_record exit $args
    close $::qfx_file
    qfx_exit 0
}
# The script finds itself by [info script], which `source` sets.
# (tclsh ends by our `exit` after an error: catch it first.)
if {[catch {source $qfx_script} qfx_message]} {
    puts stderr $qfx_message
    qfx_exit 1
}
close $qfx_file
