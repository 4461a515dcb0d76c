"""Which data sets are listed, and how one is downloaded."""

from mamlprobe.cli import main


def test_data_lists_and_describes(images, capsys, monkeypatch):
    monkeypatch.delenv("MAMLPROBE_DATA", raising=False)
    assert main(["data", "--data-root", str(images.parent)]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["dataset", "glyphs", "omniglot", "sinusoids", "sinusoids-2pi", "planted-DIAL", "tiny"]
    assert main(["data", "tiny", "--data-root", str(images.parent)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        ["train", "5", "6", "30", "1", "28", "28"],
        ["val", "3", "6", "18", "1", "28", "28"],
        ["test", "4", "6", "24", "1", "28", "28"],
    ]
