"""What Passgate costs, measured beside bare servers in the same run. Never a test: no figure here fails anything."""
