"""What a report means: schemas, ladders, the vocabulary and its checks. Pure: no clock, files, logging, randomness."""
