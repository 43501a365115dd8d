"""Measures identification: error rates, open-set rates and reliability of confidences."""
