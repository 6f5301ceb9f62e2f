"""Tables: columns, their encoding, blanks, dates, and data frames."""
