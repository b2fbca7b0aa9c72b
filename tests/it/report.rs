//! Tests of the room `report` from outside.
