//! Tests of the room `process` from outside.
