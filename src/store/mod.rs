//! Durable facts. Knows encodings and disks; decides nothing.
