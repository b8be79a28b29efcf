# Stands in for the commands of Vivado or Vitis HLS: runs a script, and writes down every call.
#
#     tclsh recorder.tcl COMMANDS RECORD SCRIPT
#
# COMMANDS lists the commands that exist, one a line; any other is Tcl's own error. RECORD receives
# one call a line, as a JSON list of command and arguments. A call returns its last argument, as
# get_bd_pins does with a name; what a script asks of a finished run is answered as if it had gone
# well. A file that is named by an absolute path, or in add_files, must exist.

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

proc qfx_call {name arguments} {
    if {$name eq "add_files"} {
        foreach part $arguments {
            if {[file pathtype $part] eq "absolute" && ![file exists $part]} {
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
    switch -- $name {
        get_property {
            set answers [dict create PROGRESS 100% STATUS Complete SLACK 0.5]
            return [dict get $answers [lindex $arguments 0]]
        }
        launch_runs {
            file mkdir project/system.runs/impl_1 project/system.gen/sources_1/bd/system/hw_handoff
            close [open project/system.runs/impl_1/system_wrapper.bit w]
            close [open project/system.gen/sources_1/bd/system/hw_handoff/system.hwh w]
        }
    }
    return [lindex $arguments end]
}

lassign $argv qfx_commands qfx_path qfx_script
set qfx_input [open $qfx_commands r]
set qfx_file [open $qfx_path w]
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
