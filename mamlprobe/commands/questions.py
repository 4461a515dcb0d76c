"""What each probe asks of a run, in a line; nothing is imported to say it."""

QUESTIONS = {
    "layers": "similarity of each layer before and after the inner loop (Raghu et al. 2020, figure 2)",
    "freeze": "accuracy with the first layers frozen (Raghu et al. 2020, table 1)",
    "nil": "accuracy without inner loop and head (Raghu et al. 2020, table 4)",
    "cosine": "cosine between the classes' features (Kao et al. 2022, figure 2)",
    "contrast": "contrastive, noise and interference terms of the outer gradient (Kao et al. 2022, sections 3 and 4)",
    "terms": "the same terms by layer, in size and direction, and by pairs of one class and of different classes",
    "head": "what the head says before it has seen a task, and how it lies to the features of past tasks",
    "prototypes": (
        "the model beside prototype classifiers on its own features: same accuracy, same answers, same logits?"
    ),
    "embed": "query features before and after the inner loop, and the prototypes, in two principal components",
    "tsne": "the same by t-SNE, whose distances mean nothing",
    "grid": "similarity of every layer with every layer, before and after the inner loop",
}
"""Probe -> its question, as the help of the command line says it."""
