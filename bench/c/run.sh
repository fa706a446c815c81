#!/bin/sh
# Prepared point reads through C beside Rust's own API, interleaved.
set -eu
cd "$(dirname "$0")/../.."
cargo build -q --release -p orrery-capi
cargo build -q --release -p orrerydb --example point_read
gcc -O2 -Wall -Wextra -Icapi/include bench/c/point_read.c -o target/release/point_read_c -Ltarget/release -lorrery
for round in 1 2 3 4 5; do
    target/release/examples/point_read
    LD_LIBRARY_PATH=target/release target/release/point_read_c
done
