"""Pure: from a run folder's rows to figures. No clock, no network, no process."""
