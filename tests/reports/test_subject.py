"""Weights with their tasks: what is told of them, and the digits that tell them apart."""

from dataclasses import replace

import torch

import mamlprobe as mp
from mamlprobe.reports.opened import opened
from mamlprobe.reports.subject import Entry, TaskChoice


def test_digits_tell_weights_and_settings_apart(seeds, tasks):
    subjects = [opened(Entry(name="a", run=mp.load_run(each)), TaskChoice(episodes=tasks)) for each in seeds[:2]]
    bits = {subject.bits for subject in subjects}
    first = subjects[0]
    bits.add(replace(first, theta=replace(first.theta, net={n: v + 1e-7 for n, v in first.theta.net.items()})).bits)
    bits.add(replace(first, method=replace(first.method, inner=replace(first.method.inner, lr=0.2))).bits)
    assert len(bits) == 4
    assert replace(first).bits == first.bits


def test_what_a_learner_is(seeds, tasks):
    run = mp.load_run(seeds[0])
    subject = opened(Entry(name="a", run=run), TaskChoice(episodes=tasks))
    assert subject.moves
    assert [subject.by_class, subject.headless, subject.is_module, subject.regression] == [False] * 4
    part = next(subject.batches(2))
    assert subject.chunk(part) == 2
    model = mp.Model(net=run.net(), theta=run.theta(), method=run.config.method)
    other = opened(Entry(name="m", model=model), TaskChoice(episodes=tasks))
    assert other.is_module
    assert other.chunk(part) is None
    assert (other.entry.seed, other.entry.config) == (None, None)
    assert torch.equal(next(other.batches(2)).support_x, part.support_x)
