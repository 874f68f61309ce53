"""What those who change redsched run; nothing here is shipped."""
