"""A run in a notebook: its folder, its state, its last values."""

from dataclasses import replace

import mamlprobe as mp


def test_a_run_shows_its_state_and_its_last_values(tmp_path):
    small = replace(mp.recipe("anil", "smoke"), data=mp.Data(size=14))
    run = mp.train(small, tmp_path, progress=False)
    shown = run._repr_html_()
    assert "finished" in shown
    assert run.path.name in shown
    assert f"train loss at update {small.updates}" in shown
    (run.path / "done").unlink()
    assert f"{small.updates} of {small.updates} updates are kept" in mp.load_run(run.path)._repr_html_()
