"""The worker entry: `python rq_worker.py`."""

if __name__ == "__main__":
    from app.worker import (
        main,
    )  # not above: the processes that compute for a step load this file, and need nothing of it

    main()
