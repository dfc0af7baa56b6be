"""What batches become in the database: facts, rows, the one transaction; what is kept aside, for how long, erased."""
