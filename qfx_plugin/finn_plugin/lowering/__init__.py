"""From our graph to a plan of FINN's nodes, channels last, integers throughout."""
