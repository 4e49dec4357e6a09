"""Many pretraining runs as one plan: the N x S x seed grid."""
