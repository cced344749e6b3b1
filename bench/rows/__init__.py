"""The rows of `make bench`, in their order. Each takes a stage and gives a report."""
