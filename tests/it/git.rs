//! Tests of the room `git` from outside: real repositories, the real program, a hermetic world.

mod crash;
mod lines;
mod own;
mod publishing;
mod repositories;
mod reuse;
mod snapshots;
mod strategies;
mod worktrees;
mod world;
