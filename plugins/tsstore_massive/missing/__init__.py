"""What was missed while nothing was connected: remembered, fetched, and told."""
