"""Logits without a head."""

import math

import torch

from mamlprobe.learn.readout import cosine_attention


def test_attention_by_the_definition():
    source = torch.Generator().manual_seed(0)
    support = torch.randn(2, 5, 3, generator=source, dtype=torch.float64)
    query = torch.randn(2, 4, 3, generator=source, dtype=torch.float64)
    labels = torch.tensor([[0, 1, 0, 2, 1], [2, 2, 1, 0, 0]])
    found = cosine_attention(support, labels, query, 3)
    for task in range(2):
        for row in range(4):
            scores = [0.0, 0.0, 0.0]
            for item in range(5):
                s, q = support[task, item].tolist(), query[task, row].tolist()
                cosine = sum(a * b for a, b in zip(s, q)) / math.hypot(*s) / math.hypot(*q)
                scores[labels[task, item]] += math.exp(cosine)
            wanted = torch.tensor([math.log(x / sum(scores)) for x in scores], dtype=torch.float64)
            torch.testing.assert_close(found[task, row], wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.exp().sum(-1), torch.ones(2, 4).double())


def test_only_directions_count():
    source = torch.Generator().manual_seed(1)
    support, query = (torch.randn(1, n, 3, generator=source, dtype=torch.float64) for n in (4, 2))
    labels = torch.tensor([[0, 0, 1, 1]])
    one = cosine_attention(support, labels, query, 2)
    two = cosine_attention(support * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None], labels, 7 * query, 2)
    torch.testing.assert_close(one, two)
    other = cosine_attention(-support, labels, query, 2)
    assert (one - other).abs().max() > 0.1
