"""What countries say to each other: sealed letters, and the directory of the keys that seal them."""
