"""The peers, each at its best; a library that is missing raises ImportError when its contender is built."""
