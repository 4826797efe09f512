"""How good the models of a project are, on frames that they were not trained on."""
