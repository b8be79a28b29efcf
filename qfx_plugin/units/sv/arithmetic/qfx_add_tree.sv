// Sum of N numbers at different binary points, by a tree of registered two-input adders.
//
// Leaf i has WIDTHS[i] bits and stands LOWS[i] bits left of bit 0. Each node is as wide as its
// leaves can make it, and no wider than OW bits of the sum. LATENCY = clog2(N) cycles, 0 if N = 1.
module qfx_add_tree #(
    parameter int N = 2,
    parameter int W = 8,                          // room for each leaf
    parameter bit SIGNED = 1'b0,                  // two's complement leaves; LOWS must be equal
    parameter bit [N*8-1:0] WIDTHS = {N{8'(W)}},
    parameter bit [N*8-1:0] LOWS = '0,            // ascending
    parameter int OW = 16                         // the sum is right modulo 2**OW
) (
    input  logic           clk,
    input  logic           en,
    input  logic [N*W-1:0] leaves,
    output logic [OW-1:0]  sum
);
  localparam int LEVELS = $clog2(N);

  function automatic int leaf_low(int leaf);
    return int'(LOWS[8*leaf+:8]);
  endfunction

  // Bits of node `node` at level `level`, which holds the leaves from node << level on.
  function automatic int bits(int level, int node);
    bit [63:0] largest = '0;
    int width = 0;
    int begin_ = node << level;
    for (int leaf = begin_; leaf < N && leaf < ((node + 1) << level); leaf++) begin
      largest += ((64'd1 << WIDTHS[8*leaf+:8]) - 64'd1) << (leaf_low(leaf) - leaf_low(begin_));
      if (SIGNED && int'(WIDTHS[8*leaf+:8]) > width) width = int'(WIDTHS[8*leaf+:8]);
    end
    if (SIGNED) width += level;
    else while ((largest >> width) != 64'd0) width++;
    return (width > OW - leaf_low(begin_)) ? OW - leaf_low(begin_) : width;
  endfunction

  function automatic int nodes(int level);
    return (N + (1 << level) - 1) >> level;
  endfunction

  for (genvar level = 0; level <= LEVELS; level++) begin : g_level
    for (genvar node = 0; node < nodes(level); node++) begin : g_node
      localparam int YW = bits(level, node);
      logic [YW-1:0] y;
      if (level == 0) begin : g_leaf
        assign y = leaves[node*W+:YW];
      end else if (2 * node + 1 < nodes(level - 1)) begin : g_sum
        qfx_add #(
            .AW(bits(level - 1, 2 * node)), .BW(bits(level - 1, 2 * node + 1)),
            .OFF(leaf_low((2 * node + 1) << (level - 1)) - leaf_low((2 * node) << (level - 1))),
            .SIGNED(SIGNED), .YW(YW)
        ) add (
            .clk, .en, .a(g_level[level-1].g_node[2*node].y),
            .b(g_level[level-1].g_node[2*node+1].y), .y
        );
      end else begin : g_pass
        logic [bits(level - 1, 2 * node)-1:0] a;
        assign a = g_level[level-1].g_node[2*node].y;
        if (SIGNED) begin : g_signed
          always_ff @(posedge clk) if (en) y <= YW'($signed(a));
        end else begin : g_unsigned
          always_ff @(posedge clk) if (en) y <= YW'(a);
        end
      end
    end
  end

  logic unused;  // a single leaf needs no clock, and a narrow one not all of its room
  assign unused = ^{clk, en, leaves};

  localparam int TOP = bits(LEVELS, 0);
  logic [TOP-1:0] total;
  assign total = g_level[LEVELS].g_node[0].y;
  if (SIGNED) begin : g_signed
    assign sum = OW'($signed(total));
  end else begin : g_unsigned
    assign sum = OW'(total) << leaf_low(0);
  end
endmodule
