import pytest


@pytest.fixture
def episodes(classes):
    return classes(tasks=2, shape=(1, 4, 4))
