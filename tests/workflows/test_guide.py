"""The guide to workflows of one's own keeps what it says."""

import re
from pathlib import Path

import app.workflows

GUIDE = Path(__file__).parents[2] / "docs" / "workflows.md"


async def test_the_workflow_of_the_guide_runs_as_it_stands_there(open_desk, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "link_list.py").write_text(code)
    assert {line.split(" import")[0] for line in code.splitlines() if line.startswith("from app")} == {
        f"from {app.workflows.__name__}"
    }
    async with open_desk(workflows_dir=tmp_path / "own") as desk:
        asked = await desk.ask("/api/v1/jobs", workflow="link_list", params={"topic": "shore power in Oslo"})
        await desk.run(asked["job_id"])
        job = (await desk.http.get(f"/api/v1/jobs/{asked['job_id']}")).json()
        refused = await desk.http.post("/api/v1/jobs", json={"workflow": "link_list", "params": {"topic": ""}})
    assert (job["status"], job["result_message"]) == ("success", "10 pages"), job["error"]
    assert job["result"]["pages"][0]["url"].startswith("oslo")
    assert [problem["field"] for problem in refused.json()["errors"]] == ["topic"]
