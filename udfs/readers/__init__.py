"""Reading files of any format record by record: every record becomes a row, or is rejected with its reason."""
