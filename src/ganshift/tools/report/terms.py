"""What to look for in the sheets of each method, and in the curves of the terms that it logs."""

from collections.abc import Mapping

GRADIENTS = {
    "gradient/generator": "The size of the generators' gradient in single steps. It jumps; what matters is that it "
    "neither dies away nor grows by orders of magnitude.",
    "gradient/critic": "The same for the critics.",
}
EXPLAINED: Mapping[str, Mapping[str, str]] = {
    "transfer": {
        "critic/distance": "The critic's mean score of generated images minus that of real ones. Below zero it tells "
        "them apart, and the further below, the more easily. Early on the curve swings, while the critic learns what "
        "to look for; after that, creeping towards zero is a good sign. Each critic has a scale of its own, so compare "
        "a curve with its own past rather than with another run.",
        "critic/penalty": "What keeps the critic's slope near 1 (the gradient penalty). It should fall early and stay "
        "low. A penalty that grows says that training is getting unstable.",
        "generator/adversarial": "Minus the critic's mean score of generated images. Only differences of scores mean "
        "anything to a critic, so this curve may wander without saying much about quality.",
        "critic/classes": "How far off the critic is in naming the classes of real images (cross-entropy, times its "
        "weight). It should fall.",
        "generator/classes": "The same for generated images, whose classes the generator wants to be recognised.",
        **GRADIENTS,
    },
    "dual": {
        "critic_a/adversarial": "What the critic of A lowers by telling real images of A from made ones.",
        "critic_b/adversarial": "The same for the critic of B.",
        "critic_a/penalty": "What keeps the slope of the critic of A near 1 (the gradient penalty).",
        "critic_b/penalty": "The same for the critic of B.",
        "gen_ab/adversarial": "What the generator from A to B lowers by making images that the critic of B takes for "
        "real.",
        "gen_ba/adversarial": "The same for the generator from B to A.",
        "a/reconstruction": "How far images of A are from their round trip over B, times its weight. It should fall.",
        "b/reconstruction": "How far images of B are from their round trip over A, times its weight.",
        **GRADIENTS,
    },
}
"""By method and term."""
ABOUT_CURVES: Mapping[str, str] = {
    "transfer": "Losses say whether training is healthy. Whether the pictures are any good, only the pictures say.",
    "dual": "Reconstruction has a plain meaning: how close the way back comes. The other curves belong to a game in "
    "which one side's gain is the other's loss, so they need not fall.",
}
"""By method."""
ABOUT_SHEETS: Mapping[str, str] = {
    "transfer": "One place in a sheet keeps its random numbers, so that you can follow single pictures as they change.",
    "dual": "Every row is one image: as it was, translated, and translated back. A good way back proves little by "
    "itself, since generators can hide a picture in faint marks: judge the middle column first.",
}
SHOWN_BY_SHEETS: Mapping[str, str] = {
    "transfer": "Sheet of 64 generated images",
    "dual": "Rows of an image, its translation and the way back",
}
