"""A folder for the Hugging Face hub: weights, spec, metrics, and a card that says what is known of them."""
