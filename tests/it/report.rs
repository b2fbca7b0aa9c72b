//! Tests of the rooms `plan` and `report` from outside: real states, driven through the core.

mod live;
mod plan;
mod random;
mod schema;
mod select;
mod text;
mod world;
