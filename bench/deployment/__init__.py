"""Where a generation runs: local processes now; containers and endpoints of the user's own beside them later."""
