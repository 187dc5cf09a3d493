"""What tests of stores and plugins need: a model store and injected faults."""
