"""Rate-distortion benchmark: xvcomp, the published recipe and the peers on real cubes."""
