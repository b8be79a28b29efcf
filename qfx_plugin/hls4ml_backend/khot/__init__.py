"""K-hot layers in hls4ml: codes, folding, cost, and the passes that put them to work."""
