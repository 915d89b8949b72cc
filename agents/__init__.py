"""One stage per file: what it decides. Pure: no Faust, no clock, no I/O, no randomness."""
