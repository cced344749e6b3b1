"""A small far side to try Callslip with: `python -m demo.far_side`. It imports nothing of the service."""
