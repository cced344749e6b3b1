"""What operators see of the outside: what was called, and what is left alone."""

from app.core.metrics import TOOL_CALLS, TOOLS_CUT_OFF, TOOLS_CUT_OFF_AT
from app.web.tools_view import tools


def test_a_place_shows_its_calls_and_since_when_it_is_left_alone():
    TOOL_CALLS.labels("Shown", "ok").inc(3)
    TOOL_CALLS.labels("Shown", "trouble").inc(2)
    TOOL_CALLS.labels("Shown", "refused").inc()
    TOOLS_CUT_OFF.labels("Shown").inc()
    TOOLS_CUT_OFF_AT.labels("Shown").set(1_780_000_000)
    shown = next(one for one in tools() if one.name == "Shown")
    assert (shown.calls, shown.failed, shown.cut_off) == (6, 2, 1)
    assert shown.cut_off_at is not None
    assert shown.cut_off_at.timestamp() == 1_780_000_000
