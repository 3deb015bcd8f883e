//! Whatever comes in: no panic, one destructive action at a time, the same decisions again.
