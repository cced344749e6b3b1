"""What `make run` runs: prepares a machine, starts the processes, restarts what dies, and stops them in order."""
