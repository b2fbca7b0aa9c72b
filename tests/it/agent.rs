//! Tests of the room `agent` from outside.
