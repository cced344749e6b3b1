"""The rows of the table, in the order in which they are run: each name, and its module."""

NAMES = {
    "kills": "kills",
    "power": "power",
    "crash-points": "crash_points",
    "redis": "redis_trouble",
    "recovery": "recovery",
    "steps": "steps",
    "uploads": "uploads",
    "callbacks": "callbacks",
    "attackers": "attackers",
    "fuzz": "fuzz",
    "clean": "clean",
    "drippers": "drippers",
    "memory": "memory",
    "disk": "disk",
    "clocks": "clocks",
    "edits": "edits",
    "secrets": "secrets",
    "whole": "whole",
    "planted": "planted",
}
