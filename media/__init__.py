"""Files: where they are kept, of what type they are, how they are shown small, and links to them."""
