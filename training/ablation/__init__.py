"""The ablation: trains nets with recipes that differ in one choice, and compares them."""
