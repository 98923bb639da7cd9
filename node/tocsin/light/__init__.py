"""What the two light clients, `tocsin.lab` and `tocsin.reader`, share: configuration, a private file, trust, a topic."""
