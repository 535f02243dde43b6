"""Which agents there are, what they can do, and how well they are; decided here."""
