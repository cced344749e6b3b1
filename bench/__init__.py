"""Measures the service beside bare limits and peers. `make bench`, or `make bench ROW=accept` for one row."""
