"""Shared by all tests: two threads, an isolated cache, tasks made by hand, and two runs of the command line."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "2"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # a thread that waits sleeps: on a busy machine the others get on
sys.path.insert(
    0, str(Path(__file__).parent.parent)
)  # so that `from tests.oracles import ...` works under every runner

import pytest
import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.native.build import compiler, kernels_path
from mamlprobe.native.load import compile_kernels, kernels
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.native.trust import digest_path
from tests.tiny import SMALL, write_images

THREADS = 2
"""Of every test that does not ask for another number; processes that it starts have as many."""

torch.set_num_threads(THREADS)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads for a test."""
    yield torch.set_num_threads
    torch.set_num_threads(THREADS)


@pytest.fixture
def one_thread(set_threads: Callable[[int], None]) -> None:
    """One thread for a test that says why it needs that."""
    set_threads(1)


def _copy_kernels(built: Path | None, folder: Path) -> None:
    """Copies kernels and their digest into the cache folder, where there are some."""
    if built is not None and built.is_file():
        (folder / built.parent.name).mkdir(mode=0o700, exist_ok=True)
        for part in (built, digest_path(built)):
            if part.is_file():
                shutil.copy(part, folder / built.parent.name)


def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiles the kernels in this process's cache, or takes those that another process of the tests has compiled."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        compile_kernels()
        return
    own = Path(os.environ["MAMLPROBE_CACHE"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMLPROBE_CACHE", str(tmp_path_factory.getbasetemp().parent / "kernels"))
        kernels_path.cache_clear()
        compile_kernels()  # one process does, the others wait for it
        shared = kernels_path()
    kernels_path.cache_clear()
    _copy_kernels(shared, own)
    compile_kernels()


@pytest.fixture(autouse=True, scope="session")
def isolated_cache(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A cache folder of this test session alone; the user's is not written to, and only kernels are copied from it."""
    built = kernels_path()
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("MAMLPROBE_CACHE", str(folder))
        patch.delenv("MAMLPROBE_KERNELS", raising=False)
        _copy_kernels(built, folder)  # the name tells source, compiler and processor
        kernels_path.cache_clear()
        tune_malloc()  # as trainings and commands do
        if request.config.getoption("markexpr") != "cuda":  # a GPU needs no kernels of the CPU's
            _compiled_once(tmp_path_factory)  # everything below runs on the fast route where there is a compiler
        yield folder


@pytest.fixture
def there_are_kernels() -> None:
    """Compiled kernels, in a test of them alone."""
    if compiler() is None:
        pytest.skip("no compiler, no compiled kernels")
    assert kernels() is not None


@pytest.fixture
def classes() -> Callable[..., Episodes]:
    """Maker of classification tasks in float64: noisy copies of one pattern a class, or binary images full of ties."""

    def make(
        *,
        tasks: int = 3,
        way: int = 3,
        shot: int = 2,
        query: int = 2,
        shape: tuple[int, ...] = (1, 8, 8),
        binary: bool = False,
        seed: int = 0,
    ) -> Episodes:
        generator = torch.Generator().manual_seed(seed)

        def draw(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64)

        patterns = draw(tasks, way, 1, *shape)

        def rows(count: int) -> tuple[Tensor, Tensor]:
            x = (patterns + 0.7 * draw(tasks, way, count, *shape)).flatten(1, 2)
            if binary:
                x = (x > 0.8).double()
            return x, torch.arange(way).repeat_interleave(count).repeat(tasks, 1)

        (support_x, support_y), (query_x, query_y) = rows(shot), rows(query)
        return Episodes(support_x=support_x, support_y=support_y, query_x=query_x, query_y=query_y)

    return make


@pytest.fixture
def waves() -> Callable[..., Episodes]:
    """Maker of regression tasks in float64: a random smooth function of `inputs` numbers a task."""

    def make(*, tasks: int = 3, rows: int = 6, inputs: int = 2, outputs: int = 1, seed: int = 0) -> Episodes:
        generator = torch.Generator().manual_seed(seed)

        def draw(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=torch.float64)

        slope, shift = draw(tasks, inputs, outputs), draw(tasks, 1, outputs)
        support, query = draw(tasks, rows, inputs), draw(tasks, rows + 1, inputs)
        return Episodes(
            support_x=support,
            support_y=torch.sin(support @ slope + shift),
            query_x=query,
            query_y=torch.sin(query @ slope + shift),
        )

    return make


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small grey images."""
    return write_images(tmp_path_factory.mktemp("data") / "tiny", "L")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, images: Path) -> list[str]:
    """Folders of a MAML and an ANIL run on them, made by the command line; not to be written to."""
    from mamlprobe.cli import main

    out = tmp_path_factory.mktemp("runs")
    for name in ("maml", "anil"):
        assert main(["train", name, *shlex.split(SMALL), "--dataset", str(images), "--out", str(out)]) == 0
    return [str(next(out.glob(f"{name}-*"))) for name in ("maml", "anil")]
