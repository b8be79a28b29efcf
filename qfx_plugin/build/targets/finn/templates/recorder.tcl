# Stands in for Vivado or Vitis HLS under FINN's scripts: runs one, and writes down every call.
#
#     tclsh recorder.tcl COMMANDS RECORD SCRIPT
#
# COMMANDS lists the vendor's commands, one a line; any other is Tcl's own error. RECORD receives one
# call a line, as a JSON list. Queries answer as the vendor's would where a script goes on with the
# answer; a file that add_files names must exist.

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

proc qfx_answer {name arguments} {
    set last [lindex $arguments end]
    switch -- $name {
        get_ipdefs {
            if {[lsearch $arguments -filter] >= 0 && [string match *clk_wiz* $last]} {
                return xilinx.com:ip:clk_wiz:6.0
            }
            foreach part $arguments {
                if {[string match xilinx.com:* $part]} {
                    return [string map {:* :1.0} $part]
                }
            }
        }
        get_property {
            set key [lindex $arguments end-1]
            switch -- $key {
                CONFIG.ADDR_WIDTH { return 6 }
                VLNV { return $last }
                default { return {} }
            }
        }
        get_param - get_bd_intf_ports - get_files - ipx::get_files { return {} }
        get_bd_intf_pins {
            if {[lsearch $arguments -of_objects] >= 0} { return {} }
        }
        ipx::package_project {
            file mkdir [lindex $arguments 1]
            close [open [file join [lindex $arguments 1] component.xml] w]
        }
    }
    return $last
}

proc qfx_call {name arguments} {
    if {$name eq "add_files"} {
        foreach part $arguments {
            if {[file pathtype $part] eq "absolute" && ![file exists $part]
                && ![string match */finn_vivado_stitch_proj.srcs/* $part]} {
                error "add_files: there is no file $part"
            }
        }
    }
    if {$name eq "set_property" && [lindex $arguments 0] eq "-dict"} {
        foreach {key value} [lindex $arguments 1] {
            qfx_record set_property [list $key $value [lindex $arguments 2]]
        }
        return ""
    }
    qfx_record $name $arguments
    return [qfx_answer $name $arguments]
}

lassign $argv qfx_commands qfx_path qfx_script
set qfx_input [open $qfx_commands r]
set qfx_file [open $qfx_path w]
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
rename puts qfx_puts
proc puts args {
    # What a script prints for people is not kept.
    if {[llength $args] > 1} { qfx_puts {*}$args }
}
cd [file dirname $qfx_script]
if {[catch {source $qfx_script} qfx_message]} {
    qfx_puts stderr $qfx_message
    qfx_exit 1
}
close $qfx_file
