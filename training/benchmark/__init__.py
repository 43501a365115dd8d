"""An ISO/IEC 19795-1 report of any database: nets, their fusion and a classical matcher."""
