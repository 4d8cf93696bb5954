"""What is known of runs: their records, reports, and what was stored of them."""
