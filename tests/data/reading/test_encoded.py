from pathlib import Path

import numpy as np
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.data.reading import encoded
from mamlprobe.data.reading.encoded import encoded_class


def test_images_by_their_number(monkeypatch):
    some = encoded_class(Path("x"), [b"a", b"bcd", np.frombuffer(b"e", np.uint8)], [2, 0])
    assert len(some) == 2
    assert [some.tree.read(name) for name in some.files] == [b"e", b"a"]
    monkeypatch.setattr(encoded, "LARGEST_IMAGE", 2)
    with pytest.raises(UserError, match="image 1 of x must have at most 2 bytes, got 3 bytes"):
        some.tree.read("1")
