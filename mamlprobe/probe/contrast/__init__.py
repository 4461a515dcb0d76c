"""The outer gradient as that of a contrastive learner (Kao et al. 2022)."""
