//! Tests of the room `store` from outside.

#[path = "store/conformance.rs"]
mod conformance;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/disk.rs"]
mod disk;
#[path = "store/encodings.rs"]
mod encodings;
#[path = "store/order.rs"]
mod order;
#[path = "store/power.rs"]
mod power;
#[path = "store/processes.rs"]
mod processes;
#[path = "store/world.rs"]
mod world;
