"""The published training steps as the plainest eager NCHW code gives them: what ours is compared with, in every number.

Nothing here is rearranged for speed: convolutions at full resolution before the pooling and after the upsampling, real
and fake images in forward passes of their own, norms as their formula, biases in front of norms, one optimiser update
per parameter. Nothing is slowed down either: as in the published graphs, only gradients that an update needs are
computed. Parameters have the names that ours have, so that `load_state_dict` takes our weights.
"""
