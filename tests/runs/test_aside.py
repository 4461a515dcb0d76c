"""The folder of an import is made aside: there whole or not at all, and nobody else's folder is touched."""

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.runs.aside import ASIDE, MADE, finish, in_use, made_aside


def fill(folder, words="new"):
    """All that an import makes."""
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "u000000.safetensors").write_text(words)
    for name in MADE[1:]:
        (folder / name).write_text(words)


def content(folder):
    """Text by path of all files but locks; of folders without any, their paths."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name != ".lock":
            found[str(path.relative_to(folder))] = path.read_text() if path.is_file() else None
    return found


WHOLE = {"checkpoints": None, "checkpoints/u000000.safetensors": "new", **dict.fromkeys(MADE[1:], "new")}


@pytest.mark.parametrize("there", ["nothing", "a folder above", "an empty folder"])
def test_it_is_moved_whole_into_its_place(tmp_path, there):
    path = tmp_path / "above" / "run" if there == "a folder above" else tmp_path / "run"
    if there == "an empty folder":
        path.mkdir()
        inode = path.stat().st_ino
    with made_aside(path) as aside:
        fill(aside)
        assert aside != path
        assert content(path) == ({} if there != "an empty folder" else {ASIDE: None, **_inside(WHOLE)})
    assert content(path) == WHOLE
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.relative_to(tmp_path).parts[0]]
    if there == "an empty folder":
        assert path.stat().st_ino == inode


def _inside(files):
    return {f"{ASIDE}/{name}": value for name, value in files.items()}


@pytest.mark.parametrize("there", ["nothing", "a folder above", "an empty folder"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_leaves_things_as_they_were(tmp_path, there, error):
    path = tmp_path / "above" / "run" if there == "a folder above" else tmp_path / "run"
    if there == "an empty folder":
        path.mkdir()

    def failing():
        with made_aside(path) as aside:
            fill(aside)
            raise error

    with pytest.raises(error):
        failing()
    assert content(tmp_path) == ({"run": None} if there == "an empty folder" else {})


def test_a_folder_above_that_holds_something_else_by_now_stays(tmp_path):
    path = tmp_path / "above" / "run"

    def failing():
        with made_aside(path):
            (tmp_path / "above" / "notes.txt").write_text("theirs")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert content(tmp_path) == {"above": None, "above/notes.txt": "theirs"}


@pytest.mark.parametrize("there", ["nothing", "an empty folder"])
def test_what_a_kill_left_is_replaced(tmp_path, there):
    """Files of an earlier import aside, half-written ones, and such as were in their place already."""
    path = tmp_path / "run"
    aside = path / ASIDE if there == "an empty folder" else tmp_path / f".run{ASIDE}"
    aside.mkdir(parents=True)
    fill(aside, "old")
    (aside / ".config.json.123.part").write_text("half")
    if there == "an empty folder":
        fill(path, "old")
        (path / MADE[-1]).unlink()
    assert not in_use(path)
    with made_aside(path) as place:
        assert place == aside
        assert content(place) == {}
        fill(place)
    assert content(path) == WHOLE
    assert not (path / ASIDE).exists()


@pytest.mark.parametrize("kind", ["a link", "notes", "a part of another kind"])
@pytest.mark.parametrize("work", ["made_aside", "finish"])
def test_a_folder_of_that_name_which_no_import_left_is_refused(tmp_path, kind, work):
    path, mine = tmp_path / "run", tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("mine")
    path.mkdir()
    place = path / ASIDE
    if kind == "a link":
        place.symlink_to(mine)
    else:
        place.mkdir()
        (place / ("notes.txt" if kind == "notes" else ".notes.part")).write_text("mine")
    before = content(tmp_path)
    got = {"a link": "a link", "notes": r"one with 'notes\.txt'", "a part of another kind": r"one with '\.notes\.part'"}
    line = rf"import: .*run/{ASIDE} must be a folder that an import left, got {got[kind]}; move it away, or delete it"
    with pytest.raises(UserError, match=line):
        made_aside(path).__enter__() if work == "made_aside" else finish(path)
    assert content(tmp_path) == before


def test_what_is_in_use(tmp_path):
    """More than an import that was killed leaves: that leaves its settings last, so with them it was not killed."""
    path = tmp_path / "run"
    assert not in_use(path)
    path.mkdir()
    (path / ".lock").touch()
    assert not in_use(path)
    (path / "checkpoints").mkdir()
    assert in_use(path)
    (path / ASIDE).mkdir()
    assert not in_use(path)
    (path / MADE[-1]).touch()
    assert in_use(path)
    (path / MADE[-1]).unlink()
    (path / "notes.txt").touch()
    assert in_use(path)
    assert in_use(path / "notes.txt")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert in_use(tmp_path / "link")


def test_a_run_is_finished_by_removing_what_lies_in_it(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    fill(path)
    finish(path)
    (path / ASIDE).mkdir()
    (path / ASIDE / ".lock").touch()
    finish(path)
    assert content(path) == WHOLE


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(UserError, match=r"file must be a folder open for writing, got Not a directory"),
        made_aside(tmp_path / "file" / "run"),
    ):
        pass
    assert content(tmp_path) == {"file": "mine"}
