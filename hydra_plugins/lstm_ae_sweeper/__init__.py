"""The sweeper of lstm_ae. Hydra sees a plugin's folder only where it has this file, and `hydra_plugins/` has none."""
