//! Tests of the room `git` from outside.
