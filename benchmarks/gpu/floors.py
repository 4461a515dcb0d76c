"""Bytes that the activations of a meta-iteration move at least, each pass reading and writing what it must once.

Of a block with inputs a, maps c and pooled maps p: forward reads a and writes c, reads c and writes p. Backward reads
c and p's slope and writes c's slope; reads that and writes a's slope (not in the first layer); reads a and c's slope
for the weights. A product with the Hessian is a forward and a backward pass of values and of tangents beside them:
twice both. Weights are not counted.
"""

from benchmarks.works import BLOCKS, Work


def maps(work: Work) -> list[tuple[int, int, int]]:
    """Numbers in inputs, maps and pooled maps of one image, a triple a block."""
    channels, height, width = work.image
    found = []
    for _ in range(BLOCKS):
        inputs, out = channels * height * width, work.filters * height * width
        channels, height, width = work.filters, height // 2, width // 2
        found.append((inputs, out, channels * height * width))
    return found


def forward(work: Work) -> int:
    """Numbers moved for one image forward."""
    return sum(a + 2 * c + p for a, c, p in maps(work))


def backward(work: Work) -> int:
    """Numbers moved for one image backward."""
    found = sum(p + 2 * c + (c + a) + (a + c) for a, c, p in maps(work))
    first = maps(work)[0]
    return found - first[0] - first[1]


def moved(work: Work, method: str) -> int:
    """Bytes of one meta-iteration in float32."""
    support, query = work.tasks * work.way * work.shot, work.tasks * work.way * work.query
    both = forward(work) + backward(work)
    inner = {"maml": 3 * work.steps * both, "fomaml": work.steps * both, "anil": both}
    return 4 * (query * both + support * inner[method])
