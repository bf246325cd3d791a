"""The statements themselves: what constants alone say about F, its flow and gradient descent on it."""
