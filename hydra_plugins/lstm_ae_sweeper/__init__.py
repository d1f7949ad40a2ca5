"""The sweepers of lstm_ae. Hydra finds a plugin's folder only if it has this file, and `hydra_plugins/` has none."""
