"""How bytes travel between programs: what device and client share below their own code."""
