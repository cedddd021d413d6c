"""Which days have news: what each day of a table was made from, and what it would be made from now."""
