"""What a message between agents is, and what becomes of it; decided here."""
