"""The folder of what took a while to make: as the environment says, else the user's cache."""

from mamlprobe.base.cache import cache_folder


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MAMLPROBE_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("MAMLPROBE_CACHE")
    assert cache_folder().name == "mamlprobe"


def test_an_empty_variable_is_none(monkeypatch):
    """Else the cache would be the current folder."""
    monkeypatch.delenv("MAMLPROBE_CACHE")
    usual = cache_folder()
    monkeypatch.setenv("MAMLPROBE_CACHE", "")
    assert cache_folder() == usual
