//! Micro-benchmarks of the hot path, from a ring's bytes to what leaves the program.
//!
//! `cargo bench --bench micro -- engine` runs those with `engine` in their names.

#[path = "../support/mod.rs"]
mod support;

mod engine;

/// As in the program itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}
