"""Variants of the kernels: which one is asked for, which are refused, and that each computes."""

import platform

import pytest
import torch
import torch.nn.functional as F

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.cli import main
from mamlprobe.native import build, load, variants
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.recipes import recipe
from mamlprobe.training import compute
from tests.native.conftest import forget

RUNS_HERE = [
    word
    for word, each in variants.VARIANTS.items()
    if platform.machine().lower() in variants.MACHINES and not variants.missing(each)
]


@pytest.fixture
def processor(monkeypatch):
    """Sets machine and flags of the processor."""

    def choose(machine: str, flags: str) -> None:
        monkeypatch.setattr(platform, "machine", lambda: machine)
        monkeypatch.setattr(variants, "processor_flags", lambda: f"flags : {flags}")

    return choose


def test_the_word_chooses(processor):
    processor("x86_64", " ".join(variants.VARIANTS["avx512"].needs))
    found = {word: variants.wanted({"MAMLPROBE_KERNELS": word}) for word in (*variants.VARIANTS, *variants.OFF, "")}
    assert found == {**variants.VARIANTS, "off": None, "gpu": None, "": variants.NATIVE}
    assert variants.wanted({}) == variants.NATIVE
    assert [found[word].flag for word in ("avx512", "avx2", "none", "")] == [
        "-march=x86-64-v4",
        "-march=x86-64-v3",
        "-march=x86-64",
        "-march=native",
    ]
    assert variants.vector_set() == "avx512"
    processor("x86_64", "sse2 avx")
    assert variants.vector_set() == "none"


def test_what_the_processor_cannot_run_is_refused(processor):
    processor("x86_64", " ".join(variants.VARIANTS["avx2"].needs))
    assert variants.wanted({"MAMLPROBE_KERNELS": "avx2"}) == variants.VARIANTS["avx2"]
    line = "MAMLPROBE_KERNELS: avx512 must be what this processor can run, got one without avx512f, "
    with pytest.raises(UserError, match=line):
        variants.wanted({"MAMLPROBE_KERNELS": "avx512"})
    processor("aarch64", "asimd")
    assert variants.wanted({}) == variants.NATIVE
    for word in variants.VARIANTS:
        with pytest.raises(UserError, match="got a processor of kind aarch64; choose another word, or leave it out"):
            variants.wanted({"MAMLPROBE_KERNELS": word})


def test_an_unknown_word_is_told_everywhere(monkeypatch, capsys, tmp_path):
    line = "MAMLPROBE_KERNELS: the word must be a known one, got 'axv2'; did you mean avx2, avx512?"
    monkeypatch.setenv("MAMLPROBE_KERNELS", "axv2")
    forget()
    try:
        assert main(["data"]) == 2
        told = capsys.readouterr()
        assert (told.out, told.err) == ("", line + "\n")
        for door in (
            lambda: mp.train(recipe("sinusoid-maml", "smoke"), tmp_path / "runs", progress=False),
            lambda: load.supported(torch.ones(1)),
            mp.compile_kernels,
        ):
            with pytest.raises(UserError) as caught:
                door()
            assert str(caught.value) == line
        monkeypatch.setattr(compute, "pick_device", lambda word: torch.device("cuda"))
        with pytest.raises(UserError, match="MAMLPROBE_KERNELS"):
            mp.train(recipe("sinusoid-maml", "smoke"), tmp_path / "runs", progress=False)
        assert not (tmp_path / "runs").exists()
    finally:
        monkeypatch.undo()
        forget()


@pytest.mark.parametrize("word", RUNS_HERE)
def test_each_has_a_path_of_its_own(word, place, monkeypatch):
    monkeypatch.setenv("MAMLPROBE_KERNELS", word)
    forget()
    assert build.kernels_path() != place
    assert load.compile_kernels()
    assert not place.exists()


@pytest.mark.slow
@pytest.mark.parametrize("word", RUNS_HERE)
def test_each_computes_a_convolution(word, monkeypatch, tmp_path):
    """Compiled without optimisation, which takes a tenth of the time."""
    if build.compiler() is None:
        pytest.skip("no C++ compiler")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, 9, 7, 2 * 20, generator=generator)  # two tasks of 20 channels
    w = torch.randn(2, 24, 20, 3, 3, generator=generator)
    planes = x.flatten(0, 1).movedim(-1, 1)
    with monkeypatch.context() as patch:
        patch.setenv("MAMLPROBE_KERNELS", word)
        patch.setenv("MAMLPROBE_CACHE", str(tmp_path))
        patch.setattr(build, "FLAGS", ("-O0", *build.FLAGS[1:]))
        forget()
        assert load.compile_kernels(), load.why_not()
        assert "-march=native" not in build.flags()
        for kind, close in ((torch.float32, 1e-4), (torch.float64, 1e-11)):
            found = kernels.conv(x.to(kind), w.to(kind))
            maps = F.conv2d(planes.to(kind), w.flatten(0, 1).to(kind), padding=1, groups=2)
            torch.testing.assert_close(found.flatten(0, 1).movedim(-1, 1), maps, rtol=close, atol=close)
    forget()
