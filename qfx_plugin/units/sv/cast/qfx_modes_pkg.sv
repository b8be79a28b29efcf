// Rounding and overflow of `ap_fixed`: the numbers of the modes, and when a number is rounded up.
//
// `qfx_plugin/units/modes.py` has the same numbers.
package qfx_modes_pkg;
  localparam int AP_TRN = 0;          // to the whole number below
  localparam int AP_TRN_ZERO = 1;     // towards zero
  localparam int AP_RND = 2;          // to the nearest; ties to the one above
  localparam int AP_RND_ZERO = 3;     // ties towards zero
  localparam int AP_RND_INF = 4;      // ties away from zero
  localparam int AP_RND_MIN_INF = 5;  // ties to the one below
  localparam int AP_RND_CONV = 6;     // ties to the even one

  localparam int AP_WRAP = 0;      // the bits above are lost
  localparam int AP_SAT = 1;       // the end of the range
  localparam int AP_SAT_SYM = 2;   // of a range that is symmetric
  localparam int AP_SAT_ZERO = 3;  // zero
  localparam int AP_WRAP_SM = 4;   // likewise, but the sign stays; without a sign as AP_SAT

  // Whether the rounded number is the whole number above, not the one below.
  function automatic logic rounds_up(
      input int rounding,
      input logic negative,
      input logic odd,   // lowest bit of the whole number below
      input logic half,  // highest bit that is lost
      input logic rest   // whether any lower one is set
  );
    case (rounding)
      AP_TRN:         rounds_up = 1'b0;
      AP_TRN_ZERO:    rounds_up = negative && (half || rest);
      AP_RND:         rounds_up = half;
      AP_RND_ZERO:    rounds_up = half && (rest || negative);
      AP_RND_INF:     rounds_up = half && (rest || !negative);
      AP_RND_MIN_INF: rounds_up = half && rest;
      AP_RND_CONV:    rounds_up = half && (rest || odd);
      default:        rounds_up = 1'bx;  // no mode: qfx_cast.sv does not elaborate
    endcase
  endfunction
endpackage
