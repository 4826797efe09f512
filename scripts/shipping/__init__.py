"""Training and measurement of the models that ship, for ``train_shipped_models.py``."""
