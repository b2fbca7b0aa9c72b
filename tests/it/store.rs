//! Tests of the room `store` from outside.
