"""Tasks in threads: the same numbers as one after another, and nothing of the caller's state lost."""

import threading
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mamlprobe.learn import evaluate as evaluating
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient, tasks_in_memory
from mamlprobe.learn.outer.memory import memory_needed
from mamlprobe.learn.theta import init
from mamlprobe.learn.threads import map_threads, threads_for
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.conv4 import conv4

CPU = torch.device("cpu")


@pytest.fixture
def one_task_each(monkeypatch):
    """Every task is a batch of its own."""
    monkeypatch.setattr(evaluating, "NUMBERS", 1)


def test_parts_run_at_the_same_time_in_one_thread_each(set_threads):
    set_threads(3)
    meeting = threading.Barrier(3, timeout=30)

    def work(part: int) -> tuple[int, int, bool]:
        meeting.wait()  # none gets on before all three are there
        return 10 * part, torch.get_num_threads(), torch.is_grad_enabled()

    with torch.no_grad():
        found = list(map_threads(work, [2, 0, 1, 5, 4, 3], CPU))
    assert found == [(part, 1, False) for part in (20, 0, 10, 50, 40, 30)]
    assert torch.get_num_threads() == 3


def test_a_failure_comes_back_and_threads_are_set_again(set_threads):
    set_threads(2)

    def work(part: int) -> int:
        return 1 // part

    with pytest.raises(ZeroDivisionError):
        list(map_threads(work, [1, 0, 1, 1], CPU))
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert (torch.get_num_threads(), seen) == (2, [2])


def test_one_thread_where_others_would_not_see_the_state(set_threads):
    set_threads(4)
    assert threads_for(3, CPU) == 3
    assert threads_for(9, CPU) == 4
    assert threads_for(9, torch.device("meta")) == 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert threads_for(9, CPU) == 1
    with TorchDispatchMode():
        assert threads_for(9, CPU) == 1


@pytest.mark.parametrize("name", ["maml", "fomaml", "anil", "imaml", "mamlpp", "reptile"])
def test_gradients_do_not_depend_on_who_does_what(name, classes, set_threads, one_task_each):
    net, method = conv4(image=(1, 12, 12), way=3, filters=8, blocks=2), METHODS[name]
    episodes = classes(tasks=7, shape=(1, 12, 12)).to(dtype=torch.float32)
    theta = init(net, seed=0, method=method)
    found = []
    for threads in (1, 3):
        set_threads(threads)
        found.append(meta_gradient(net, theta, episodes, method))
    (here, told), (there, said) = found
    assert all(torch.equal(here[key], there[key]) for key in here)
    assert torch.equal(told.losses, said.losses)


@pytest.mark.parametrize("steps", ["every", "last"])
def test_scores_do_not_depend_on_who_does_what(steps, classes, set_threads, one_task_each):
    net, method = conv4(image=(1, 12, 12), way=3, filters=8, blocks=2), METHODS["maml"]
    episodes = classes(tasks=7, shape=(1, 12, 12)).to(dtype=torch.float32)
    theta = init(net, seed=0, method=method)
    variants = {"keep": method, "zero": replace(method, head="zero_at_test")}
    tables, counts = [], []
    for threads in (1, 3):
        set_threads(threads)
        tables.append(evaluate(net, theta, episodes, variants, steps=steps, advance=counts.append))
    assert tables[0].equals(tables[1])
    assert counts == [1] * 28


def test_a_given_chunk_is_all_that_memory_holds(classes, set_threads, one_task_each):
    net, method = conv4(image=(1, 12, 12), way=3, filters=8, blocks=2), METHODS["maml"]
    episodes = classes(tasks=7, shape=(1, 12, 12)).to(dtype=torch.float32)
    theta = init(net, seed=0, method=method)
    set_threads(3)
    sizes = {chunk: tasks_in_memory(chunk, 7, episodes, light=False) for chunk in (None, 1, 2, 9)}
    assert sizes == {None: 3, 1: 1, 2: 2, 9: 7}
    needs = {chunk: memory_needed(net, theta, episodes, method, chunk=chunk) for chunk in (None, 3)}
    assert needs[None] == needs[3]
