//! Desired state against recorded state: what would change, and why; and selectors.
//!
//! Pure. Stands above `core`, whose `State` it reads; never changes one.
