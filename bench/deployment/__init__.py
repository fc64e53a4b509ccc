"""Where a generation runs: local processes now; containers and the user's own endpoints later."""
