//! Tests of the room `git` from outside: real repositories, the real program, a hermetic world.

mod crash;
mod lines;
mod publishing;
mod repositories;
mod snapshots;
mod worktrees;
mod world;
