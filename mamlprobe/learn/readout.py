"""How query features become logits without a head."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_attention(support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
    """Log class probabilities [B, R, N] of query features by attention to the support features.

    support [B, N*K, F], labels [B, N*K], query [B, R, F]. Attention is the softmax over support items of the cosine, a
    class's score the sum over its items (NIL, Raghu et al. 2020, section 5.1, after Matching Networks).
    """
    cosine = F.normalize(query, dim=-1) @ F.normalize(support, dim=-1).mT
    attention = torch.log_softmax(cosine, dim=-1)
    member = F.one_hot(labels, way).to(torch.bool)
    masked = attention.unsqueeze(-1).masked_fill(~member.unsqueeze(1), -torch.inf)
    return torch.logsumexp(masked, dim=2)


def prototype_logits(support: Tensor, labels: Tensor, query: Tensor, *, way: int, lr: float) -> Tensor:
    """Logits [B, n_q, N] of the dot-product prototype classifier, lr/N <c_j, f(q)>, c_j the mean support feature of j.

    support [B, n_s, F], query [B, n_q, F]. With a balanced support set its cross-entropy equals the outer loss of one
    inner step from a zeroed head with the body frozen, and so does its gradient; the temperature is N / lr.
    """
    member = F.one_hot(labels, way).to(support.dtype)
    centres = member.mT @ support / member.sum(1).unsqueeze(-1)
    return lr / way * query @ centres.mT
