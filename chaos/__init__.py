"""Programs that break things while jobs are in flight, and one checker that says what was lost. See docs/chaos.md."""
