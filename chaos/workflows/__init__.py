"""What the row `steps` hands in: each file is put, by itself, into the WORKFLOWS_DIR of a run."""
