//! Tests of the room `files` from outside.
