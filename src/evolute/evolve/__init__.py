"""The loop: operation, elimination, response, in a lineage; and the engine that keeps many lineages going."""
