"""A seeded TMF921 data set: intents in words, and what each layer of a network is configured with, in the Hub set's shape."""
