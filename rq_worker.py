"""The worker entry: `python rq_worker.py`."""

from app.worker import main

if __name__ == "__main__":
    main()
