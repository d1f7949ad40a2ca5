"""Tasks: one file a question. What the target is, what an output is worth, and what is reported."""

from lstm_ae.tasks.anomaly import Anomaly
from lstm_ae.tasks.classification import Classification
from lstm_ae.tasks.denoising import Denoising
from lstm_ae.tasks.forecast import Forecast
from lstm_ae.tasks.imputation import Imputation
from lstm_ae.tasks.prediction import Prediction
from lstm_ae.tasks.reconstruction import Reconstruction

__all__ = ["Anomaly", "Classification", "Denoising", "Forecast", "Imputation", "Prediction", "Reconstruction"]
