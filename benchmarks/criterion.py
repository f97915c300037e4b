"""Time the knowledge-guided loss, compared with literal loops and a ViT-B step.

Forward and backward pass, on 16 clips of 128 frames with 12 AUs.

    python benchmarks/criterion.py

The literal loops follow Eq. 4 and 7 over pairs and states, and are vectorised over clips and frames only, as in a first
implementation.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from hardware import describe_machine

from auvmae.configuration import AUVMAEConfig
from auvmae.knowledge.fsm import straight_through
from auvmae.knowledge.losses import KnowledgeGuidedLoss
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification

CLIPS, FRAMES, AUS = 16, 128, 12


def literal_loss(criterion: KnowledgeGuidedLoss, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute Eq. 9 with loops over pairs and states."""
    probs = logits.sigmoid()
    targets = labels.float()
    cls = -(targets * probs.log() + (1 - targets) * (1 - probs).log())
    loss = (cls * criterion.label_weights).sum(-1).mean()
    hard = straight_through(probs)
    intra = inter = torch.zeros(())
    for i in range(AUS):
        for j in range(AUS):
            if i == j:
                continue
            both, neither = hard[..., i] * hard[..., j], (1 - hard[..., i]) * (1 - hard[..., j])
            cooccurrence = both.sum() / (CLIPS * FRAMES - neither.sum())
            intra = intra + (criterion.cooccurrence_prior[i, j] - cooccurrence) ** 2
            now, following = probs[:, :-1], probs[:, 1:]
            for state in range(16):
                mass = torch.ones(())
                for bit, value in enumerate((now[..., i], now[..., j], following[..., i], following[..., j])):
                    mass = mass * (value if state >> bit & 1 else 1 - value)
                inter = inter + (criterion.transition_prior[i, j, state] - mass.mean()) ** 2
    return loss + 0.01 * intra.sqrt() + 0.01 * inter.sqrt()


def median_seconds(function: Callable[[], object], rounds: int) -> float:
    """Measure the median time of `rounds` calls after one warm-up."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    videos = [(generator.random((500, AUS)) < 0.3).astype(np.int64) for _ in range(4)]
    criterion = KnowledgeGuidedLoss.from_labels(videos)
    logits = torch.randn(CLIPS, FRAMES, AUS, requires_grad=True)
    labels = torch.randint(0, 2, (CLIPS, FRAMES, AUS))
    difference = (criterion(logits, labels).loss - literal_loss(criterion, logits, labels)).abs().item()

    ours = median_seconds(lambda: criterion(logits, labels).loss.backward(), 201)
    literal = median_seconds(lambda: literal_loss(criterion, logits, labels).backward(), 3)

    model = AUVMAEForFrameAUClassification(AUVMAEConfig(num_labels=AUS, clip_length=64, sampling_rate=4))
    clip = torch.randn(1, 16, 3, 224, 224)
    window = median_seconds(lambda: model(clip, labels=torch.zeros(1, 64, AUS)).loss.backward(), 3)
    step = CLIPS * 2 * window  # frame level: two windows of 16 frames per clip of 128

    print(describe_machine())
    print(
        f"\n{CLIPS} clips x {FRAMES} frames x {AUS} AUs, forward and backward; the losses differ by {difference:.1e}\n"
    )
    print("| what | seconds | ratio | bound |\n|---|---|---|---|")
    print(f"| criterion | {ours:.5f} | | |")
    print(f"| literal loops | {literal:.3f} | {literal / ours:.0f} times slower | >= 200 |")
    share = f"criterion takes {100 * ours / step:.3f} % of this"
    print(f"| ViT-B step, frame level (32 windows, extrapolated from one) | {step:.1f} | {share} | <= 1 % |")


if __name__ == "__main__":
    main()
