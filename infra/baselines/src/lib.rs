//! What the benchmarks measure the functions beside. Each program does one part of a function's work, with the same
//! libraries and nothing of Carteiro's own.
