"""threegen's harness: profile in, run folder out (effects wing), numbers and pages back (pure wing)."""
