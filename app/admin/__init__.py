"""What is done beside the database: `python -m app.admin`."""
