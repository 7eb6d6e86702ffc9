"""DualGAN (Yi et al. 2017): learn to translate between two unpaired folders."""
