"""The contenders of bench_stage, each a program that says FIRST and a monotonic time when its first record comes."""
