"""Alarms in a signal: events, thresholds that keep a false-alarm rate, and the field's measures.

Plain functions over numpy arrays that know no run, task or dataset. Everywhere a score is an array of shape (steps,),
higher where a step looks less normal; NaN and minus infinity stand for a step without a score and count as the lowest.
A step is in alarm where its score is strictly above the threshold.
"""
