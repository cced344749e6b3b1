"""The worker entry: `python rq_worker.py`."""

if __name__ == "__main__":
    # Not above: the processes that compute for a step load this file, and need nothing of it.
    from app.core import collector

    with collector.paused():
        from app.worker import main

    main()
