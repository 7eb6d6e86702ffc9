"""Transferring GANs (Wang et al. 2018): teach a pretrained WGAN-GP a few hundred images."""
