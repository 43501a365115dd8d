"""The ablation: recipes that differ in one choice, and what became of each."""
