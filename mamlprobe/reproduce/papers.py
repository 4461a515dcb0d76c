"""Where the papers are that analyses name: author and year, title, address."""

import re
from typing import NamedTuple


class Paper(NamedTuple):
    """A paper as a reader finds it."""

    title: str
    address: str


PAPERS = {
    "Antoniou et al. 2019": Paper("How to train your MAML", "https://arxiv.org/abs/1810.09502"),
    "Collins et al. 2022": Paper("MAML and ANIL Provably Learn Representations", "https://arxiv.org/abs/2202.03483"),
    "Finn et al. 2017": Paper(
        "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", "https://arxiv.org/abs/1703.03400"
    ),
    "Kao et al. 2022": Paper(
        "MAML is a Noisy Contrastive Learner in Classification", "https://arxiv.org/abs/2106.15367"
    ),
    "Kornblith et al. 2019": Paper(
        "Similarity of Neural Network Representations Revisited", "https://arxiv.org/abs/1905.00414"
    ),
    "Nichol et al. 2018": Paper("On First-Order Meta-Learning Algorithms", "https://arxiv.org/abs/1803.02999"),
    "Oh et al. 2021": Paper(
        "BOIL: Towards Representation Change for Few-shot Learning", "https://arxiv.org/abs/2008.08882"
    ),
    "Raghu et al. 2020": Paper(
        "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of MAML",
        "https://arxiv.org/abs/1909.09157",
    ),
    "Rajeswaran et al. 2019": Paper("Meta-Learning with Implicit Gradients", "https://arxiv.org/abs/1909.04630"),
    "Ye and Chao 2022": Paper(
        "How to Train Your MAML to Excel in Few-Shot Classification", "https://arxiv.org/abs/2106.16245"
    ),
}
"""Author and year, as analyses write them -> the paper."""


def papers_in(text: str) -> list[str]:
    """List the papers that a text names, in its order."""
    return [match[0] for match in re.finditer("|".join(map(re.escape, PAPERS)), text)]
