"""Hardware units in SystemVerilog, and their parameters and memories.

    mvu.fold(mvu.matrix_product(layer, graph), pe=4, simd=8)     # a folded matrix-vector product
    requant.requant(cast, operand_type, pe=4)                    # ReLU and a cast behind it
    sources.sources_of("qfx_requant")                            # files, each behind what it uses

`digits` encodes weights for units without multipliers, `modes` numbers roundings and overflows,
`names` makes Verilog names.
"""
