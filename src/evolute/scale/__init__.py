"""The same run on a cluster: Ray takes shards of seeds to workers that are ordinary runs (docs/scale.md)."""
