//! The only place where the core meets I/O: driver, effects, steps, signals, clock.
