"""Experiments with LSTM autoencoders: reconstruct, classify and forecast sequences.

Nothing is imported here: composing a configuration, reading run directories and asking for help stay fast.
"""
