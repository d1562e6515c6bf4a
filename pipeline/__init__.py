"""The runtime of Onsight: frames in, labels on the frames out."""
