"""The stages in order, for the command line and `evolute.api`, which import from the modules: so none waits for all."""
