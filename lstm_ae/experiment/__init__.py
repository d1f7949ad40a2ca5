"""One job, from its parts to a finished run directory. Only `configured` knows hydra; `fit` needs none."""
