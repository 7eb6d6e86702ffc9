"""Using trained models: opening them by name, drawing, translating, saving and describing them."""
