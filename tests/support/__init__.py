"""What the tests share: films, models, runs, senders and boards under their control."""
