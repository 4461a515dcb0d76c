"""A figure is made anew where something that its script imports has changed, and nowhere else."""

from mamlprobe.reproduce.imported import PACKAGE, imported


def names(script):
    return {str(path.relative_to(PACKAGE)) for path in imported(script)}


def test_imports_are_followed_wherever_they_stand():
    found = names("def table(stage):\n    from mamlprobe.measure.cka import cka\n")
    assert {"measure/cka.py", "measure/once.py", "base/errors.py", "measure/__init__.py"} <= found
    assert not any(name.startswith(("draw/", "training/", "commands/", "learn/")) for name in found)


def test_public_names_lead_to_their_files():
    found = names("import mamlprobe as mp\nmp.meta_gradient(1)\n")
    assert {"learn/outer/__init__.py", "learn/adapt.py", "nets/params.py"} <= found
    assert "draw/page.py" not in found
    assert "certificates/gradient.py" not in found
    assert "certificates/gradient.py" in names("import mamlprobe as mp\nmp.certify\n")


def test_kernels_count_where_they_are_built():
    assert {"native/build.py", "native/cpp/kernels.cpp"} <= names("from mamlprobe.nets.conv4 import conv4\n")
    assert names("import numpy as np\n") == set()
