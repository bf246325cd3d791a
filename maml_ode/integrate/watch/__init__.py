"""What is looked for at accepted steps, one watcher a module, each with its remedy."""
