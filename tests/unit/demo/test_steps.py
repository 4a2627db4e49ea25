import io
import json

import pytest

from admittance.demo.steps import NotShown, Story, require


def told(story: Story) -> list[dict[str, object]]:
    assert isinstance(story.out, io.StringIO)
    return [json.loads(line) for line in story.out.getvalue().splitlines()]


def test_each_step_is_one_object_and_the_summary_comes_last() -> None:
    story = Story(io.StringIO(), as_json=True)
    with story.step("one", "First") as step:
        step.facts["tries"] = 2
    story.show_code("not in JSON")
    story.summary({"devices": 1})
    first, last = told(story)
    assert first == {"step": "one", "ok": True, "seconds": first["seconds"], "tries": 2}
    assert last == {"step": "summary", "ok": True, "seconds": last["seconds"], "steps": 1, "devices": 1}


def test_a_step_that_does_not_hold_spoils_the_summary() -> None:
    story = Story(io.StringIO(), as_json=True)
    with pytest.raises(NotShown), story.step("one", "First"):
        require(False, "Water runs uphill.")
    story.summary({})
    step, summary = told(story)
    assert (step["ok"], step["detail"], summary["ok"]) == (False, "Water runs uphill.", False)


def test_people_read_one_line_a_step_and_see_codes() -> None:
    story = Story(io.StringIO(), as_json=False)
    with story.step("one", "First") as step:
        step.facts["tries"] = 2
    story.show_code("https://localhost/d/X")
    story.summary({"scenario": "x", "devices": 1})
    assert isinstance(story.out, io.StringIO)
    lines = story.out.getvalue().splitlines()
    assert lines[0].startswith("✓ First")
    assert lines[0].endswith("tries: 2")
    assert "█" in lines[2]
    assert "All steps held: 1 steps, 1 devices" in lines[-1]
