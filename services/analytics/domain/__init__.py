"""What analytics knows: the state that its numbers are counted from, the story's lines, and the words for them."""
