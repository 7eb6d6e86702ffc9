"""Finding, decoding and ordering images; knows no training method."""
