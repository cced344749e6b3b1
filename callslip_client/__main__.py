"""`python -m callslip_client` is the command `callslip`."""

from callslip_client.cli import app

if __name__ == "__main__":
    app(prog_name="callslip")
